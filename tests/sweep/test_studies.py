"""The studies that ship: sweeps/*.yaml."""

from __future__ import annotations

import re
import shlex

import pytest
from hydra.core.config_loader import ConfigLoader

from landslide.config import check
from tests.conftest import ROOT
from tests.sweep.spaces import composed, read

STUDIES = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))
HEADS = "".join((ROOT / "sweeps" / f"{study}.yaml").read_text() for study in STUDIES).replace("\\\n# ", "")
COMMANDS = re.findall("^#   python train.py -m (.*)", HEADS, flags=re.MULTILINE)


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_is_a_space_whose_corners_pass_the_checks(study: str, loader: ConfigLoader) -> None:
    # Given
    space = read(loader, f"sweeps={study}")
    # When
    corners = [(stratum, space.corners(stratum)[0]) for stratum in space.strata]
    corners += [(space.strata[0], point) for point in space.corners(space.strata[0])]
    trials = [space.overrides(stratum, point) for stratum, point in corners]
    # Then
    assert len(trials) >= 2
    for trial in trials:
        cfg = composed(loader, *trial)
        check(cfg)
        assert cfg.hydra.runtime.choices.sweeps == study


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_heads_a_study_composes_and_passes_the_checks(command: str, loader: ConfigLoader) -> None:
    space = read(loader, *shlex.split(command))
    for stratum in space.strata:
        check(composed(loader, *space.overrides(stratum, space.corners(stratum)[0])))


@pytest.mark.parametrize("study", ["learning_rate", "lr_batch_regularization", "regularization", "smoke"])
def test_the_default_setting_lies_in_the_space_of_every_search(study: str, loader: ConfigLoader) -> None:
    space = read(loader, f"sweeps={study}")
    assert space.known_points(composed(loader, *space.fixed))[0][0] == "default"


def test_the_papers_table_one_is_a_point_of_its_grid(loader: ConfigLoader) -> None:
    space = read(loader, "sweeps=paper_grid")
    table = {"optimizer.lr": 0.001, "data.batch_size": 16, "regularization.weight_decay": 0}
    assert [stratum.name for stratum in space.strata] == ["unet", "linknet", "pspnet", "fpn"]
    assert all(table in space.points(stratum) for stratum in space.strata)
    assert composed(loader, *space.fixed).encoder.name == "resnet50"


def test_every_study_is_headed_by_its_question_and_its_command_and_stands_in_the_table() -> None:
    table = (ROOT / "sweeps" / "README.md").read_text()
    for study in STUDIES:
        comments = [
            line for line in (ROOT / "sweeps" / f"{study}.yaml").read_text().splitlines() if line.startswith("# ")
        ]
        assert "?" in comments[1]
        assert any(f"python train.py -m sweeps={study}" in line for line in comments)
        assert f"| `{study}` |" in table

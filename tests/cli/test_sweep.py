"""``landslide sweep``."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import optuna
import pytest
from filelock import FileLock
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from landslide.cli.main import main
from landslide.config import HOLD_OUT
from landslide.errors import SweepError
from landslide.sweep.status import read_sweeps
from landslide.sweep.storage import CONTROLLER_LOCK, OneController, open_existing, open_storage
from landslide.sweep.study import Point, StratumStudy
from tests.conftest import ROOT, train

LR = FloatDistribution(1e-4, 1e-1, log=True)
OUT_OF_MEMORY = {"failed": True, "reason": "out of\nmemory"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANDSLIDE_SWEEP_STORAGE", raising=False)
    return tmp_path


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/mlruns/sweeps.db"


def sweep_folder(folder: Path, sweep: str = "lr") -> Path:
    return folder / "mlruns" / "sweeps" / sweep


def begin(folder: Path, /, stratum: str = "unet", sweep: str = "lr", **given: Any) -> StratumStudy:
    """A study as a sweep makes it, of three points."""
    sweep_folder(folder, sweep).mkdir(parents=True, exist_ok=True)
    facts = {
        "sweep": sweep,
        "stratum": stratum,
        "kind": "search",
        "objective": {"metric": "val/f1", "direction": "maximize"},
        "settings": {"sampler": "tpe", "pruner": "median", "n_trials": 3, "timeout_s": None, "repeats": 0},
        "folder": str(sweep_folder(folder, sweep)),
        "command": f"python train.py -m sweeps={sweep}",
    }
    return StratumStudy(
        open_storage(url(folder)),
        f"{sweep}/{stratum}",
        directions=["maximize"],
        planned=[Point("grid", {"optimizer.lr": lr}, {"optimizer.lr": LR}) for lr in (1e-3, 2e-3, 4e-3)],
        sampler=None,
        suggest=lambda _: {},
        pruner=NopPruner(),
        seed=0,
        facts={**facts, **given},
        patiently=lambda write: write(),
    )


def tell(study: StratumStudy, value: float | None, seconds: float = 60.0, **outcome: Any) -> None:
    """A trial from its begin to its end; without a value it is pruned."""
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    told = {"seconds": seconds, "reason": None, **outcome}
    study.tell(study.ask(), state, None if value is None else [value], told, series={})


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["sweep", "status", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def words(lines: Sequence[str], first: str) -> list[str]:
    """The cells of the line that begins so."""
    (line,) = [line for line in lines if line.startswith(first)]
    return re.split(r"\s{2,}", line.strip())


# --------------------------------------------------------------------------------------------------------------- status
def test_each_stratum_has_its_counts_its_best_setting_and_its_seconds(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    unet, fpn = begin(here), begin(here, "fpn")
    tell(unet, 0.7, seconds=100)
    tell(unet, 0.8, seconds=3501.4)
    tell(fpn, None, **OUT_OF_MEMORY)
    tell(fpn, None, reason="epoch 2, median")
    # When
    lines = status(capsys)
    # Then
    assert lines[0].startswith("lr: interrupted, tpe, pruned by median, last change 20")
    assert words(lines, "stratum") == ["stratum", "finished", "pruned", "failed", "val/f1", "of", "training"]
    assert words(lines, "unet") == ["unet", "2/3", "0", "0", "0.8000", "lr=0.002", "1:00:01"]
    assert words(lines, "fpn") == ["fpn", "2/3", "1", "1", "-", "0:02:00"]
    assert lines[-1] == "Go on: python train.py -m sweeps=lr"


def test_of_folds_none_is_called_the_best(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given
    unet, groups = begin(here), CategoricalDistribution(("hill", "gorge"))
    unet.planned = [Point("grid", {HOLD_OUT: group}, {HOLD_OUT: groups}) for group in groups.choices]
    tell(unet, 0.7)
    tell(unet, 0.9)
    # When, then
    assert words(status(capsys), "unet") == ["unet", "2/3", "0", "0", "-", "0:02:00"]
    assert "hold_out=gorge" in " ".join(status(capsys, "lr"))


def test_a_trial_that_is_not_told_runs_where_a_controller_holds_the_sweep_and_is_interrupted_elsewhere(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(here).ask()
    interrupted = status(capsys)
    held = OneController(sweep_folder(here))
    under_way = status(capsys)
    del held
    assert interrupted[0].startswith("lr: interrupted")
    assert words(interrupted, "stratum")[2] == "stopped"
    assert re.match(r"lr: under way, by process \d+ on \S+, tpe", under_way[0])
    assert words(under_way, "stratum")[2] == "running"
    assert words(under_way, "unet")[1:3] == ["0/3", "1"]
    assert "Go on" not in "".join(under_way)


def test_where_the_sweeps_folder_is_not_here_nobody_says_whether_it_runs(here: Path) -> None:
    begin(here, folder="/nowhere/sweeps/lr").ask()
    (sweep,) = read_sweeps(url(here))
    assert sweep.state == "unfinished"
    assert [trial.state for trial in sweep.studies[0].trials] == ["unfinished"]


def test_looking_at_a_sweep_keeps_no_controller_from_beginning(here: Path) -> None:
    # Given: somebody who looks
    sweep_folder(here).mkdir(parents=True)
    look = FileLock(sweep_folder(here) / CONTROLLER_LOCK, thread_local=False)  # let go by another thread
    look.acquire()
    Thread(target=lambda: (time.sleep(0.2), look.release(force=True))).start()
    # When, then: it begins all the same, and keeps a second one away
    held = OneController(sweep_folder(here))
    with pytest.raises(SweepError, match=r"under way, by process \d+ on"):
        OneController(sweep_folder(here))
    del held


def test_a_sweep_is_finished_once_every_stratum_is_and_the_best_settings_are_repeated(here: Path) -> None:
    # Given
    wanted = {"sampler": "grid", "n_trials": 2, "timeout_s": None, "repeats": 1}
    study = begin(here, settings=wanted)
    states = []
    # When
    for value in (0.5, 0.6):
        tell(study, value)
        states.append(read_sweeps(url(here))[0].state)
    seeds = CategoricalDistribution([1])
    repeats = StratumStudy(
        open_storage(url(here)),
        "lr/unet/repeats",
        directions=["maximize"],
        planned=[Point("repeat", {"seed": 1}, {"seed": seeds})],
        sampler=None,
        suggest=lambda _: {},
        pruner=NopPruner(),
        seed=0,
        facts={"sweep": "lr", "stratum": "unet", "kind": "repeats", "of_trial": 1, "settings": {"n_trials": 1}},
        patiently=lambda write: write(),
    )
    states.append(read_sweeps(url(here))[0].state)
    tell(repeats, 0.4)
    # Then
    (sweep,) = read_sweeps(url(here))
    assert states == ["interrupted"] * 3
    assert sweep.state == "finished"
    assert [study.title for study in sweep.studies] == ["unet", "unet, repeats of 1"]


def test_a_setting_that_stands_alone_is_to_be_repeated_though_it_failed(here: Path) -> None:
    study = begin(here, settings={"sampler": "grid", "n_trials": 1, "timeout_s": None, "repeats": 1})
    study.planned = [Point("grid", {}, {})]
    tell(study, None, **OUT_OF_MEMORY)
    (sweep,) = read_sweeps(url(here))
    assert sweep.studies[0].over
    assert sweep.state == "interrupted"


def test_a_budget_of_seconds_shows_the_share_that_is_spent(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = begin(here, settings={"sampler": "tpe", "n_trials": None, "timeout_s": 200.0})
    tell(study, 0.5, seconds=50)
    shown = words(status(capsys), "unet")
    tell(study, 0.5, seconds=150)
    assert shown[1] == "1, 25% of time"
    assert read_sweeps(url(here))[0].state == "finished"


def test_with_a_name_the_last_trials_stand_with_their_reasons(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given
    study = begin(here)
    tell(study, 0.5)
    tell(study, None, **OUT_OF_MEMORY)
    study.ask()
    tell(begin(here, sweep="other"), 0.5)
    # When
    lines = status(capsys, "lr")
    # Then
    assert words(lines, "unet 0") == ["unet 0", "complete", "0.5000", "lr=0.001", "0:01:00"]
    assert words(lines, "unet 1") == ["unet 1", "failed", "-", "lr=0.002", "0:01:00", "out of memory"]
    assert words(lines, "unet 2") == ["unet 2", "interrupted", "-", "lr=0.004", "-"]
    assert "other" not in "".join(lines)


def test_sweeps_stand_in_the_order_of_their_last_change_and_only_the_newest_of_a_name_can_go_on(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for sweep in ("lr", "batch", "lr-2"):
        tell(begin(here, sweep=sweep), 0.5)
    names = [sweep.name for sweep in read_sweeps(url(here))]
    lines = [line for line in status(capsys) if line.startswith(("Go on", "It cannot"))]
    assert names == ["lr", "batch", "lr-2"]
    assert lines[0] == "It cannot go on: another sweep of this name was begun after it."
    assert lines[1:] == ["Go on: python train.py -m sweeps=batch", "Go on: python train.py -m sweeps=lr-2"]


def test_studies_of_other_programs_are_left_out(here: Path) -> None:
    tell(begin(here), 0.5)
    optuna.create_study(study_name="mine", storage=open_storage(url(here)))
    assert [sweep.name for sweep in read_sweeps(url(here))] == ["lr"]


def test_status_imports_neither_torch_nor_mlflow(here: Path) -> None:
    tell(begin(here), 0.5)
    code = (
        "import sys\nfrom landslide.cli.main import main\nmain(['sweep', 'status'])\n"
        "sys.exit(', '.join({'torch', 'mlflow', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, check=False)
    assert done.stdout.startswith("lr: interrupted")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_database_that_is_not_there_is_not_made(here: Path) -> None:
    assert open_existing(url(here)) is None
    (here / "empty.db").touch()
    assert open_existing(f"sqlite:///{here}/empty.db") is None
    assert [path.name for path in here.iterdir()] == ["empty.db"]
    assert (here / "empty.db").stat().st_size == 0


# ----------------------------------------------------------------------------------------------- a real sweep, and plan
@pytest.fixture(scope="module")
def swept(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A real sweep of one trial a stratum, and its words."""
    folder = tmp_path_factory.mktemp("swept")
    typed = [*tiny, "arch=unet,fpn", "optimizer.lr=1e-3,2e-3", "sweep.name=two", "trainer.max_epochs=1"]
    done = train(folder, "-m", *typed, "sweep.n_trials=1", "sweep.fresh=true")
    assert done.status == 0, done.stdout + done.stderr
    return folder, typed


def test_a_sweep_leaves_its_target_its_folder_and_the_command_that_goes_on(swept: tuple[Path, list[str]]) -> None:
    folder, typed = swept
    (sweep,) = read_sweeps(url(folder))
    assert sweep.state == "finished"
    assert [study.target for study in sweep.studies] == [1, 1]
    assert sweep.command is not None
    assert sweep.command.startswith("python train.py -m ")
    assert "sweep.n_trials=1" in sweep.command
    assert "fresh" not in sweep.command
    assert all(word.partition("=")[0] in sweep.command for word in typed)


def test_a_plan_of_a_sweep_that_was_begun_goes_on_with_it_and_is_timed_by_its_trials(
    swept: tuple[Path, list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    folder, typed = swept
    monkeypatch.chdir(folder)
    before = {path for path in folder.rglob("*") if path.is_file()}
    # When
    done = main(["sweep", "plan", *typed, "sweep.n_trials=1"])
    finished = capsys.readouterr().out
    onward = main(["sweep", "plan", *typed])
    lines = capsys.readouterr().out.splitlines()
    # Then
    assert (done, onward) == (0, 0)
    assert finished.startswith("two: everything is finished, 2 trials")
    assert lines[0] == "two: goes on, 2 trials are finished"
    assert words(lines, "unet")[1:3] == ["2", "1"]
    assert any("judged by the trials that have finished: unet, fpn" in line for line in lines)
    added = {path for path in folder.rglob("*") if path.is_file()} - before
    assert {
        path for path in added if not path.name.endswith(("-wal", "-shm"))
    } == set()  # SQLite's, of an open database


def test_a_plan_of_a_grid_that_goes_on_with_one_name_more_has_the_points_that_no_trial_has(
    swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, typed = swept
    monkeypatch.chdir(folder)
    # When
    done = main(["sweep", "plan", *typed, "regularization.label_smoothing=0.1,0.2", "sweep.on_change=continue"])
    # Then: the four points, beside the trial that there is
    assert done == 0
    cells = words(capsys.readouterr().out.splitlines(), "unet")
    assert (cells[1:3], cells[-1]) == (["5", "1"], "paper 1, grid 4")


def test_a_plan_of_another_space_is_refused_as_the_sweep_would_be(
    swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, typed = swept
    monkeypatch.chdir(folder)
    assert main(["sweep", "plan", *typed, "optimizer.lr=1e-3,3e-3"]) == 2
    assert "is not the one that was begun" in capsys.readouterr().err


def test_a_plan_says_what_would_run_and_writes_nothing_but_tiles(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # When
    assert main(["sweep", "plan", "sweeps=smoke", "arch=unet,linknet", "sweep.timeout_s=1"]) == 0
    # Then
    lines = capsys.readouterr().out.splitlines()
    shown = "\n".join(lines)
    assert "smoke: begins" in lines
    assert re.search(r"space +optimizer.lr: tag\(log, interval\(0.0001, 0.01\)\)", shown)
    assert re.search(r"sampler +tpe, pruned by median", shown)
    assert re.search(r"repeats +2 of the best setting", shown)
    for stratum in ("unet", "linknet"):
        found = words(lines, stratum)
        assert found[1:3] == ["4", "0"]
        assert found[-1] == "default 1, tpe 3"
    assert "disk: up to" in shown
    assert "time: about" in shown
    assert "estimated from a few batches of the default setting: unet, linknet" in shown
    assert [path.name for path in here.iterdir()] == ["data"]


def test_a_stratum_whose_default_cannot_be_trained_is_named_with_its_reason(
    tiny: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["sweep", "plan", *tiny, "arch=linknet,pspnet", "data.image_size=72", "seed=0,1"])
    shown = capsys.readouterr().out
    assert status == 1
    assert re.search("linknet cannot be trained: data.image_size=72: .* needs a multiple of 32", shown)
    assert re.search(r"time: about \d+ s for the others", shown)
    assert not list(here.iterdir())


def test_what_hydra_refuses_is_told_in_its_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(ROOT.glob("mlruns/*"))
    assert main(["sweep", "plan", "model=3", "arch=unet,fpn"]) == 2
    assert "Could not override 'model'" in capsys.readouterr().err
    assert not list(here.iterdir())
    assert set(ROOT.glob("mlruns/*")) == before

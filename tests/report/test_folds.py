"""The report of a sweep that holds one group after the other out."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from statistics import mean, stdev

import optuna
import pytest
from optuna import Study
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from landslide.report.sweep import SweepReport, report_sweep
from landslide.report.table import MISSING
from tests.report import sweeps
from tests.report.test_page import Tags

GROUPS = (None, "hill", "gorge", "karst")
SCORES = {
    "unet": {None: 0.9, "hill": 0.8, "gorge": 0.6, "karst": 0.7},
    "fpn": {None: 0.88, "hill": 0.78, "gorge": 0.74, "karst": 0.73},
}


def fold(study: Study, group: str | None, score: float, **params: int) -> None:
    """A training that is better at its second epoch than at its last."""
    seeds = {key: CategoricalDistribution((0, 1, 2)) for key in params}
    study.add_trial(
        create_trial(
            params={"data.split.hold_out": group, **params},
            distributions={"data.split.hold_out": CategoricalDistribution(GROUPS), **seeds},
            intermediate_values={1: 0.1, 2: score + 0.05, 3: score},
            value=score + 0.05,
            user_attrs={"origin": "grid", "outcome": {"epoch": 2, "seconds": 60.0, "run_id": f"{score:032}"}},
        )
    )


def study_of(stratum: str, scores: dict[str | None, float], direction: str = "maximize") -> Study:
    study = sweeps.new_study(stratum, direction=direction)
    for group, score in scores.items():
        fold(study, group, score)
    return study


def report(*studies: Study) -> SweepReport:
    return report_sweep(studies, tracking_uri="sqlite:///mlflow.db", command="python train.py -m sweeps=folds")


@pytest.fixture
def swept() -> SweepReport:
    return report(*(study_of(name, scores) for name, scores in SCORES.items()))


def column(swept: SweepReport, heading: str) -> list[str]:
    (found,) = [each for each in swept.columns if each.heading == heading]
    return [cell.text for cell in found.cells]


def test_the_table_has_the_mean_of_groups_the_worst_and_the_optimism_of_the_last_epoch(swept: SweepReport) -> None:
    # Given
    unet, fpn = ([value for group, value in scores.items() if group] for scores in SCORES.values())
    # Then: FPN is better on unseen groups, U-Net on the random split
    assert column(swept, "Model") == ["FPN", "U-Net"]
    assert column(swept, "Mean of groups") == [f"{mean(fpn):.4f}", f"{mean(unet):.4f}"]
    assert column(swept, "SD of groups") == [f"{stdev(fpn):.4f}", f"{stdev(unet):.4f}"]
    assert list(zip(column(swept, "Worst group"), column(swept, "Which"), strict=True)) == [
        ("0.7300", "karst"),
        ("0.6000", "gorge"),
    ]
    assert column(swept, "Random split") == ["0.8800", "0.9000"]
    assert column(swept, "Optimism") == [f"{0.88 - mean(fpn):+.4f}", f"{0.9 - mean(unet):+.4f}"]


def test_each_group_has_its_row_the_hardest_first(swept: SweepReport) -> None:
    (groups,) = swept.more_tables.values()
    assert [each.heading for each in groups] == ["Held out", "FPN", "U-Net"]
    assert [[cell.text for cell in each.cells] for each in groups] == [
        ["gorge", "karst", "hill"],
        ["0.7400", "0.7300", "0.7800"],
        ["0.6000", "0.7000", "0.8000"],
    ]


def test_the_sentence_says_that_once_may_be_chance_and_nothing_is_called_tuned(swept: SweepReport) -> None:
    assert swept.sentence.startswith("FPN has a mean F1 of 0.7500 over the 3 groups")
    assert "0.7300 on the worst (karst); then U-Net 0.7000." in swept.sentence
    assert "above 0 where it makes a model look better: FPN +0.1300, U-Net +0.2000." in swept.sentence
    assert "the seed alone may be the difference" in swept.sentence
    console = Console(file=io.StringIO(), width=80, highlight=False)
    swept.terminal(console)
    assert isinstance(console.file, io.StringIO)
    assert "tuned" not in swept.markdown() + console.file.getvalue()
    assert swept.overlays == {}


def test_repeats_of_a_fold_are_averaged_and_a_setting_is_a_model() -> None:
    # Given
    study = sweeps.new_study("unet")
    for seed in (0, 1):
        for group, score in SCORES["unet"].items():
            fold(study, group, score + 0.01 * seed, seed=seed)
    # When
    swept = report(study)
    # Then
    assert column(swept, "Mean of groups") == [f"{0.7 + 0.005:.4f}"]
    assert column(swept, "Trainings") == ["8"]
    assert "Repeats of a fold are averaged." in swept.sentence


def test_a_model_that_misses_a_group_has_no_mean_and_comes_last() -> None:
    # Given: U-Net's easiest group failed
    unet = study_of("unet", {group: score for group, score in SCORES["unet"].items() if group != "gorge"})
    unet.add_trial(
        create_trial(
            state=TrialState.FAIL,
            params={"data.split.hold_out": "gorge"},
            distributions={"data.split.hold_out": CategoricalDistribution(GROUPS)},
            user_attrs={"outcome": {"reason": "out of memory"}},
        )
    )
    # When
    swept = report(unet, study_of("fpn", SCORES["fpn"]))
    # Then
    assert column(swept, "Model") == ["FPN", "U-Net"]
    assert column(swept, "Mean of groups")[1] == column(swept, "Optimism")[1] == MISSING
    assert "U-Net: 1 trial failed: out of memory." in swept.notes


def test_a_loss_is_worst_where_it_is_largest_and_optimistic_where_it_is_smaller() -> None:
    swept = report(study_of("unet", {None: 0.1, "hill": 0.2, "gorge": 0.3, "karst": 0.4}, "minimize"))
    assert (column(swept, "Worst group"), column(swept, "Which")) == (["0.4000"], ["karst"])
    assert column(swept, "Optimism") == ["+0.2000"]


def test_without_a_random_split_there_is_no_optimism_and_nothing_finished_is_said() -> None:
    swept = report(study_of("unet", {"hill": 0.8, "gorge": 0.6, "karst": 0.7}))
    assert column(swept, "Optimism") == [MISSING]
    assert "ptimism" not in swept.sentence
    empty = sweeps.new_study("unet")
    empty.enqueue_trial({"data.split.hold_out": "hill"})
    empty.ask({"data.split.hold_out": CategoricalDistribution(GROUPS)})
    unfinished = report(empty)
    assert unfinished.sentence == "No model has a finished training for every group that was held out."
    assert unfinished.pictures == []


def test_the_page_and_the_files_hold_it(swept: SweepReport, tmp_path: Path) -> None:
    # When
    written = {path.name: path for path in swept.write(tmp_path)}
    # Then
    assert {"sweep.html", "groups.csv", "groups.png"} <= written.keys()
    text = Tags(written["sweep.html"].read_text()).text
    assert "Each group that was held out" in text
    assert "chosen on the very group" in text
    rows = list(csv.DictReader(io.StringIO(written["groups.csv"].read_text())))
    assert len(rows) == 8
    gorge = next(row for row in rows if (row["model"], row["held_out"]) == ("U-Net", "gorge"))
    assert (float(gorge["last_epoch"]), float(gorge["best_epoch"])) == (0.6, pytest.approx(0.65))


def test_another_sweep_has_no_folds() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert report(*sweeps.two_strata()).folds is None


def test_a_sweep_of_one_network_names_it() -> None:
    # Given: no list of architectures, so a stratum of no name of its own
    study = study_of("all", SCORES["unet"])
    study.set_user_attr("identity", {"arch.name": "unet"})
    # Then
    assert report(study).sentence.startswith("U-Net has a mean F1 of 0.7000")

"""The report of a sweep: what its studies hold, in every form, however little has finished."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from xml.etree import ElementTree

import numpy as np
import optuna
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from rich.console import Console

from landslide.config import register
from landslide.report.figures import to_svg
from landslide.report.runs import Objective
from landslide.report.sweep import SweepReport, report_sweep
from landslide.report.sweep_figures import best_so_far
from landslide.report.sweep_overlay import Compose, override
from landslide.report.sweep_trials import Parameter, read_strata
from landslide.report.table import MISSING
from tests.conftest import ROOT
from tests.report import sweeps
from tests.report.test_page import Tags

COMMAND = "python train.py -m sweeps=lr_batch arch=fpn,unet"


def report(studies: list[Study], **given: object) -> SweepReport:
    return report_sweep(studies, **{"tracking_uri": "sqlite:///mlflow.db", "command": COMMAND, **given})


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return sweeps.two_strata()


@pytest.fixture(scope="module")
def swept(studies: list[Study]) -> SweepReport:
    return report(studies)


@pytest.fixture(scope="module")
def html(swept: SweepReport) -> str:
    return swept.html()


@pytest.fixture
def compose_whole(tmp_path: Path) -> Iterator[Compose]:
    """Composing over conf/, with the folder ``found`` before it, and what Hydra has chosen."""
    register()
    (tmp_path / "found" / "experiment").mkdir(parents=True)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):

        def composed(overrides: list[str]) -> DictConfig:
            place = f"hydra.searchpath=[file://{tmp_path / 'found'}]"
            return compose("config", [*overrides, place], return_hydra_config=True)

        yield composed


def column(swept: SweepReport, heading: str) -> list[str]:
    (found,) = [each for each in swept.columns if each.heading == heading]
    return [cell.text for cell in found.cells]


def rows(swept: SweepReport) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(swept.csv())))


def printed(swept: SweepReport, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    swept.terminal(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_best_stratum_comes_first_and_default_tuned_and_repeats_are_the_studies_own(
    studies: list[Study], swept: SweepReport
) -> None:
    # Given
    fpn, unet, repeats = studies
    defaults = [study.trials[0].value for study in (unet, fpn)]
    tuned = [study.best_value for study in (unet, fpn)]
    scores = [trial.value for trial in repeats.trials]
    # Then
    assert column(swept, "Model") == ["U-Net", "FPN"]
    assert column(swept, "Default") == [f"{value:.4f}" for value in defaults]
    assert column(swept, "Tuned") == [f"{value:.4f}" for value in tuned]
    gains = [after - before for before, after in zip(defaults, tuned, strict=True)]
    assert column(swept, "Difference") == [f"{gain:+.4f}" for gain in gains]
    assert column(swept, "Mean") == [f"{mean(scores):.4f}", MISSING]
    assert column(swept, "SD") == [f"{stdev(scores):.4f}", MISSING]
    assert [column(swept, state) for state in ("Failed", "Running")] == [["0", "1"], ["0", "1"]]


def test_the_sentence_says_what_was_gained_and_claims_nothing_for_other_tiles(swept: SweepReport) -> None:
    assert swept.sentence.startswith(f"U-Net has the highest F1 after tuning, {column(swept, 'Tuned')[0]} (trial ")
    assert f"U-Net {column(swept, 'Difference')[0]}, from {column(swept, 'Default')[0]}" in swept.sentence
    assert "U-Net 0.8700 (SD 0.0100, 3 runs)" in swept.sentence
    assert "selected on the validation tiles" in swept.sentence
    assert "no difference here is claimed for other tiles" in swept.sentence
    assert "signific" not in swept.markdown()


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_shows_the_numbers_whole_however_narrow(swept: SweepReport, width: int) -> None:
    # When
    lines = printed(swept, width).splitlines()
    # Then
    assert max(map(len, lines)) <= width
    (row,) = [line for line in lines if line.startswith("U-Net  ")]
    shown = ["Default", "Tuned", "Mean", "Finished", "Pruned", "Time (min:s)"]
    assert {column(swept, heading)[0] for heading in shown} <= set(row.split())
    assert ("Difference" in "".join(lines)) == (width == 200)
    assert any(line.startswith("U-Net, tuned: optimizer adamw, lr 0.00") for line in lines)


def test_failed_and_unfinished_trials_are_told(swept: SweepReport) -> None:
    assert swept.notes == [
        "FPN: 1 trial failed: RuntimeError: <b>no kernel</b>.",
        "FPN: 1 trial has not ended; the same command goes on with it.",
    ]


def test_unequal_numbers_of_trials_are_told() -> None:
    swept = report([sweeps.search("fpn", 0.8, trials=6), sweeps.search("unet", 0.9, trials=4)])
    assert swept.notes == [
        "The best of more trials is better by chance alone, and their numbers differ: U-Net 4, FPN 6."
    ]


def test_csv_has_every_trial_and_every_number_in_full(studies: list[Study], swept: SweepReport) -> None:
    # Given
    found = {(row["stratum"], row["kind"], int(row["number"])): row for row in rows(swept)}
    # Then
    assert len(found) == sum(len(study.trials) for study in studies)
    for study in studies:
        attributes = study.user_attrs
        kind = "repeat" if attributes["kind"] == "repeats" else "search"
        for trial in study.trials:
            row = found[attributes["stratum"], kind, trial.number]
            if trial.state == TrialState.COMPLETE:
                assert (row["state"], float(row["value"])) == ("finished", trial.value)
            if "outcome" in trial.user_attrs:
                assert float(row["seconds"]) == trial.user_attrs["outcome"]["seconds"]
            if "optimizer.lr" in trial.params:
                assert float(row["optimizer.lr"]) == trial.params["optimizer.lr"]
                assert row["regularization.dropout"] == str(trial.params["regularization.dropout"] or "null")
                assert row["optimizer.momentum"] == str(trial.params.get("optimizer.momentum", ""))


def test_a_repeat_has_its_seed_and_the_setting_that_it_repeats(studies: list[Study], swept: SweepReport) -> None:
    repeats = [row for row in rows(swept) if row["kind"] == "repeat"]
    assert [row["seed"] for row in repeats] == ["1", "2", "3"]
    assert {float(row["optimizer.lr"]) for row in repeats} == {studies[1].best_params["optimizer.lr"]}


def test_a_failed_or_running_trial_has_no_value_and_a_pruned_one_that_of_its_best_epoch() -> None:
    # Given: the second epoch is the best, and Optuna keeps the last
    study = sweeps.new_study("unet")
    trial = study.ask()
    for epoch, value in ((1, 0.3), (2, 0.6), (3, 0.4)):
        trial.report(value, epoch)
    study.tell(trial, state=TrialState.PRUNED)
    sweeps.fail(study)
    sweeps.leave_running(study)
    # Then
    assert study.trials[0].value == 0.4
    found = [(row["state"], row["value"]) for row in rows(report([study]))]
    assert found == [("pruned", "0.6"), ("failed", ""), ("running", "")]


def test_where_a_loss_is_searched_for_the_lowest_is_the_best() -> None:
    # Given
    study = sweeps.new_study("unet", direction="minimize", objective={"metric": "val/loss", "direction": "minimize"})
    for value in (0.5, 0.2, 0.3):
        study.add_trial(optuna.create_trial(value=value, user_attrs={"origin": "tpe", "outcome": {"seconds": 1.0}}))
    # When
    swept = report([study])
    # Then
    assert swept.objective == Objective("val/loss", maximize=False)
    assert swept.sentence.startswith("U-Net reached validation loss 0.2000 after tuning (trial 1 of 3).")
    assert best_so_far(swept.strata[0])[1].tolist() == [0.5, 0.2, 0.2]


def test_seconds_are_summed_in_the_order_in_which_trials_ended() -> None:
    # Given: two slots, and the first trial ends last; one fails in between
    study = sweeps.new_study("unet")
    trials = [study.ask() for _ in range(3)]
    for trial, seconds in zip(trials, (30.0, 10.0, 5.0), strict=True):
        trial.set_user_attr("outcome", {"seconds": seconds})
    study.tell(trials[1], 0.5)
    study.tell(trials[2], state=TrialState.FAIL)
    study.tell(trials[0], 0.7)
    # When
    seconds, best = best_so_far(read_strata([study])[0])
    # Then
    assert seconds.tolist() == [10, 15, 45]
    assert best.tolist() == [0.5, 0.5, 0.7]


@pytest.mark.parametrize("left", ["nothing", "a failed trial", "a running trial"])
def test_a_sweep_without_a_finished_trial_has_a_report_without_figures(left: str, tmp_path: Path) -> None:
    # Given
    studies = [sweeps.new_study("unet"), sweeps.new_study("fpn")]
    for study in studies:
        {"nothing": lambda study: None, "a failed trial": sweeps.fail, "a running trial": sweeps.leave_running}[left](
            study
        )
    swept = report(studies)
    # When
    written = swept.write(tmp_path)
    # Then
    assert swept.sentence == "No trial has finished yet."
    assert "U-Net: no trial has finished, so nothing is tuned." in swept.notes
    assert {path.name for path in written} == {"sweep.html", "sweep.md", "trials.csv"}
    assert "No trial has finished yet." in printed(swept)


def test_a_stratum_without_trials_stands_last_beside_one_with_trials(studies: list[Study]) -> None:
    swept = report([sweeps.new_study("pspnet"), *studies])
    assert column(swept, "Model") == ["U-Net", "FPN", "PSPNet"]
    assert column(swept, "Tuned")[-1] == MISSING
    assert swept.pictures


def test_a_trial_that_was_claimed_but_never_started_is_not_lost() -> None:
    # Given: killed between the claim and the launch, so that only the trial is there
    study = sweeps.search("unet", 0.9, trials=2)
    study.ask()
    # When
    last = rows(report([study]))[-1]
    # Then
    assert (last["number"], last["state"], last["run_id"], last["origin"]) == ("2", "running", "", "")


def test_a_grid_without_a_default_has_no_difference_and_says_so() -> None:
    study = sweeps.new_study("all")
    for value in (0.5, 0.6):
        study.add_trial(optuna.create_trial(value=value, user_attrs={"origin": "grid"}))
    swept = report([study])
    assert (column(swept, "Default"), column(swept, "Difference")) == ([MISSING], [MISSING])
    assert "No finished trial has the default setting, so what tuning gained is not known." in swept.sentence
    assert swept.pictures


def test_a_default_that_nothing_beats_is_said_to_be_the_best() -> None:
    assert "trained once: U-Net found nothing better." in report([sweeps.search("unet", 0.9, trials=1)]).sentence


def grid(stratum: str, scores: dict[tuple[tuple[str, int], ...], float]) -> Study:
    """A finished grid, its first point the default setting: the score of each point."""
    study, origin = sweeps.new_study(stratum), "default"
    names = [name for name, _ in next(iter(scores))]
    axes = {name: CategoricalDistribution(sorted({dict(point)[name] for point in scores})) for name in names}
    for point, score in scores.items():
        curve, told = {1: score / 2, 2: score}, {"origin": origin}
        study.add_trial(
            optuna.create_trial(
                value=score, params=dict(point), distributions=axes, user_attrs=told, intermediate_values=curve
            )
        )
        origin = "grid"
    return study


def test_a_grid_of_seeds_compares_the_means_of_its_settings(compose_whole: Compose) -> None:
    # Given: the default setting has the best single trial, the other one has the best mean
    scores = {(8, 0): 0.5, (8, 1): 0.9, (16, 0): 0.7, (16, 1): 0.9}
    study = grid("unet", {(("data.batch_size", size), ("seed", seed)): f1 for (size, seed), f1 in scores.items()})
    # When
    swept = report([study], compose=compose_whole)
    # Then
    expected = {"Default": "0.7000", "Tuned": "0.8000", "Difference": "+0.1000", "Tuned setting": "batch_size 16"}
    expected |= {"Seeds": "2", "SD": "0.1414"}
    assert {heading: column(swept, heading) for heading in expected} == {key: [text] for key, text in expected.items()}
    assert "0.8000 after tuning in the mean over seeds (SD 0.1414, 2 runs)." in swept.sentence
    assert "in means over seeds: U-Net +0.1000, from 0.7000." in swept.sentence
    assert "trained once" not in swept.sentence + swept.caption
    assert not any(cell.run_id for column in swept.columns for cell in column.cells)
    # And: neither file nor figure is of a seed
    assert "mean F1 over 2 seeds 0.8000,\n" in swept.overlays["best_unet"]
    assert "seed: " not in swept.overlays["best_unet"]
    assert "best_against_seconds" not in {picture.name for picture in swept.pictures}


def test_seeds_alone_are_no_tuning(compose_whole: Compose) -> None:
    # Given: U-Net has the better mean, LinkNet the best single seed
    given = {"unet": (0.7, 0.8, 0.9), "linknet": (0.5, 0.6, 1.0)}
    studies = [
        grid(stratum, {(("seed", seed),): score for seed, score in enumerate(scores)})
        for stratum, scores in given.items()
    ]
    # When
    swept = report(studies, compose=compose_whole)
    # Then
    expected = {"Model": ["U-Net", "LinkNet"], "Seeds": ["3", "3"], "Mean": ["0.8000", "0.7000"]}
    expected |= {"SD": ["0.1000", "0.2646"]}
    assert {each.heading: column(swept, each.heading) for each in swept.columns[:4]} == expected
    assert swept.sentence.startswith(
        "U-Net has the highest F1 in the mean over seeds, 0.8000 (SD 0.1000, 3 runs); LinkNet follows with 0.7000. "
        "Nothing but the seed varies, so nothing was tuned."
    )
    told = swept.markdown() + swept.html() + printed(swept)
    assert not [word for word in ("Tuned", "tuning", "Default", "trained once") if word in told]
    # And: no seed is the best one
    assert not swept.overlays
    assert not any(cell.best for column in swept.trial_columns for cell in column.cells)
    assert [picture.name for picture in swept.pictures] == ["intermediate_values"]


def test_the_default_is_known_though_its_first_seed_failed() -> None:
    study = sweeps.new_study("unet")
    axes = {"seed": CategoricalDistribution([0, 1]), "optimizer.lr": CategoricalDistribution([0.1, 0.2])}
    for lr, seed, score in ((0.1, 0, None), (0.1, 1, 0.5), (0.2, 0, 0.8), (0.2, 1, 0.8)):
        study.add_trial(
            optuna.create_trial(
                state=TrialState.FAIL if score is None else TrialState.COMPLETE,
                value=score,
                params={"seed": seed, "optimizer.lr": lr},
                distributions=axes,
                user_attrs={"origin": "default" if (lr, seed) == (0.1, 0) else "grid"},
            )
        )
    assert "in means over seeds: U-Net +0.3000, from 0.5000." in report([study]).sentence


def test_the_papers_setting_has_a_column_where_it_was_tried() -> None:
    study = sweeps.search("unet", 0.9, trials=2)
    study.add_trial(optuna.create_trial(value=0.42, user_attrs={"origin": "paper"}))
    assert column(report([study]), "Table I") == ["0.4200"]


def test_one_repeat_has_no_standard_deviation() -> None:
    swept = report([sweeps.search("unet", 0.9, trials=3), sweeps.repeat("unet", [0.8])])
    assert "U-Net 0.8000 (1 run)" in swept.sentence
    assert column(swept, "SD") == [MISSING]
    assert swept.pictures


def test_repeats_of_an_earlier_best_trial_do_not_stand_beside_the_best() -> None:
    # Given: repeats of the default, after which the sweep went on and found a better setting
    repeats = sweeps.repeat("unet", [0.7, 0.8])
    repeats.set_user_attr("of_trial", 0)
    study = sweeps.search("unet", 0.9, trials=5)
    swept = report([study, repeats])
    # Then
    assert study.best_trial.number != 0
    assert "with other seeds" not in swept.sentence
    assert "U-Net: its repeats are of trial 0, which is no longer the best." in swept.notes
    assert {row["optimizer.lr"] for row in rows(swept) if row["kind"] == "repeat"} == {"0.0002"}


def test_searches_that_are_no_architectures_are_not_called_models() -> None:
    assert report([sweeps.search("all", 0.9, trials=2)]).columns[0].heading == "Search"


def test_importances_find_what_the_formula_depends_on(swept: SweepReport) -> None:
    for stratum in swept.strata:
        assert len(stratum.finished) >= 20
        assert next(iter(stratum.importances)) == "optimizer.lr"
        assert sum(stratum.importances.values()) == pytest.approx(1)


def test_few_trials_have_no_importances() -> None:
    swept = report([sweeps.search("unet", 0.9, trials=19)])
    assert not swept.strata[0].importances
    assert "importances" not in {picture.name for picture in swept.pictures}


def test_reading_a_study_warns_of_nothing(studies: list[Study]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report(studies)


def test_a_parameter_lies_between_its_ends() -> None:
    # Given
    rate = Parameter("optimizer.lr", "lr", (), 1e-4, 1e-2, log=True)
    linear = Parameter("x", "x", (), 1.0, 3.0, log=False)
    choice = Parameter("y", "y", (None, 0.1, 0.3), 0.0, 0.0, log=False)
    single = Parameter("z", "z", ("only",), 0.0, 0.0, log=False)
    # Then
    assert [rate.share(value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert [linear.share(value) for value in (1, 2.5)] == [0, 0.75]
    assert [choice.share(value) for value in (None, 0.1, 0.3)] == [0, 0.5, 1]
    assert single.share("only") == 0.5


def test_all_figures_are_there_and_have_words(swept: SweepReport, html: str) -> None:
    names = [picture.name for picture in swept.pictures]
    assert names == [
        *("default_and_tuned", "best_against_seconds", "history", "importances"),
        *("slices", "parallel_coordinates", "intermediate_values"),
    ]
    described = {part.get("aria-label") for part in Tags(html).named("div") if part.get("role") == "img"}
    assert described == {picture.description for picture in swept.pictures}
    for picture in swept.pictures:
        ElementTree.fromstring(to_svg(picture.figure, picture.name))


def test_a_stratum_has_one_colour_everywhere(swept: SweepReport) -> None:
    figures = {picture.name: picture.figure for picture in swept.pictures}
    steps = [line.get_color() for line in figures["best_against_seconds"].axes[0].lines]
    for panel, colour in zip(figures["history"].axes, ("#0072B2", "#D55E00"), strict=True):
        assert panel.lines[0].get_color() == colour
        assert colour in steps


def test_the_history_line_ends_at_the_best_value_and_marks_what_was_pruned(
    studies: list[Study], swept: SweepReport
) -> None:
    (figure,) = [picture.figure for picture in swept.pictures if picture.name == "history"]
    for panel, study in zip(figure.axes, (studies[1], studies[0]), strict=True):
        assert np.asarray(panel.lines[0].get_ydata())[-1] == study.best_value
        drawn = [len(np.asarray(points.get_offsets())) for points in panel.collections]
        counts = [sum(t.state == state for t in study.trials) for state in (TrialState.COMPLETE, TrialState.PRUNED)]
        assert drawn[:2] == counts


def test_many_trials_make_a_small_page() -> None:
    # Given
    study = sweeps.new_study("unet")
    axes = {"optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True), "x": FloatDistribution(0, 1)}
    random = np.random.default_rng(0)
    for number in range(2000):
        params = {"optimizer.lr": 10 ** random.uniform(-4, -1), "x": random.uniform()}
        value = 0.9 - abs(math.log10(params["optimizer.lr"]) + 2) / 10
        curve = {epoch: value - 0.1 / epoch for epoch in (1, 2, 3)}
        facts = {"seconds": 1.0, "epoch": 3, "reason": None, "run_id": f"{number:032d}", "folder": ""}
        study.add_trial(
            optuna.create_trial(
                value=value,
                params=params,
                distributions=axes,
                intermediate_values=curve,
                user_attrs={"origin": "random", "outcome": facts},
            )
        )
    # Then
    assert len(report([study]).html()) < 2_500_000


def test_the_page_loads_nothing_and_executes_nothing_that_a_trial_says(html: str) -> None:
    page = Tags(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "srcset", "action"):
            if (tag, name) == ("a", "href"):  # opened by a click alone
                continue
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, name)
    assert len(list(page.named("script"))) == 1
    assert "<b>no kernel</b>" in page.text
    assert "default-src 'none'" in html
    assert not re.search(r"@import|url\((?!#)", html)


def test_the_page_says_how_was_searched(html: str) -> None:
    text = Tags(html).text
    for fact in (COMMAND, "tpe", "percentile", "d" * 64, "selected on these validation tiles", " UTC"):
        assert fact in text


def test_every_trial_and_its_number_link_to_its_run_on_the_server_or_where_landslide_ui_shows_it(
    swept: SweepReport, html: str
) -> None:
    served = dataclasses.replace(swept, tracking_uri="https://me:secret@host/mlflow/").html()
    trials = [run for row in rows(swept) for run in [row["run_id"]] * (2 if row["value"] else 1)]  # its number, its id
    best = [(stratum.known("default"), stratum.best) for stratum in swept.strata]
    runs = [trial.run_id for pair in best for trial in pair if trial] + trials
    for page, server in ((served, "https://host/mlflow"), (html, "http://127.0.0.1:5000")):
        links = [str(link.get("href")) for link in Tags(page).named("a")]
        assert links == [f"{server}/#/runs/{run_id}" for run_id in runs]
    assert "secret" not in served
    assert "landslide ui" not in served
    assert "open while <code>landslide ui</code> runs" in html


def test_several_objectives_have_a_front_and_no_best(tmp_path: Path, compose_whole: Compose) -> None:
    # Given: the third is beaten by the first in both
    study = sweeps.new_study("unet", against=("time/fit_s",))
    for f1, seconds in ((0.8, 50.0), (0.9, 80.0), (0.7, 60.0), (0.5, 10.0)):
        facts = {"seconds": seconds, "epoch": 1, "reason": None, "run_id": "r", "folder": ""}
        study.add_trial(optuna.create_trial(values=[f1, seconds], user_attrs={"origin": "nsga2", "outcome": facts}))
    # When
    swept = report([study], compose=compose_whole)
    # Then
    assert swept.strata[0].front == (0, 1, 3)
    assert swept.sentence.startswith("3 of 4 finished trials are on the Pareto front: none is beaten in all of F1,")
    assert "| U-Net | 1 | 0.9000 | 80 | r |" in swept.markdown()
    assert [row["time/fit_s"] for row in rows(swept)] == ["50.0", "80.0", "60.0", "10.0"]
    assert "pareto_front" in {picture.name for picture in swept.pictures}
    assert not [path for path in swept.write(tmp_path / "report") if path.suffix == ".yaml"]
    assert "On the Pareto front" in swept.html()
    linked = [cell.run_id for column in swept.front_columns for cell in column.cells if cell.run_id]
    assert len(linked) == 9  # of each trial on the front F1, seconds and id


def recipe(composed: DictConfig) -> object:
    """All that a run is trained by."""
    keys = [str(key) for key in composed if key not in ("hydra", "seed", "sweep", "tracking")]
    return OmegaConf.to_container(OmegaConf.masked_copy(composed, keys), resolve=True)


@pytest.mark.parametrize(
    "started_with",
    [
        [*sweeps.RECIPE, "arch=unet"],
        ["experiment=paper", "arch=linknet", "data.bands=[red,green]"],
        ["sweeps=small", "arch=unet", "+arch.decoder_channels=[8,8,8,8,8]", "~optimizer.fused"],
    ],
    ids=["values", "an experiment", "a study file"],
)
def test_the_best_setting_as_an_experiment_composes_to_what_the_trial_was_trained_with(
    started_with: list[str], tmp_path: Path, compose_whole: Compose
) -> None:
    # Given: a tuned group, whose file has other values than that of the default, and a study file with a recipe
    (tmp_path / "found" / "sweeps").mkdir()
    (tmp_path / "found" / "sweeps" / "small.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /experiment: bijie_cpu\nencoder: {name: tu-test_resnet}\n"
        "hydra: {sweeper: {params: {seed: '1,2'}}}\n"
    )
    study = sweeps.new_study("unet", overrides=started_with)
    best = {
        "optimizer": "sgd",
        "data.batch_size": 4,
        "regularization.dropout": None,
        "data.split": "{train: 9, val: 3}",
    }
    trial = study.ask()
    for key, value in best.items():
        trial.suggest_categorical(key, [value])
    sweeps.run_trial(study, trial, 0.8, "tpe")
    # When
    swept = report([study, sweeps.repeat("unet", [0.7, 0.8])], compose=compose_whole)
    written = swept.write(tmp_path / "report")
    (overlay,) = [path for path in written if path.suffix == ".yaml"]
    overlay.rename(tmp_path / "found" / "experiment" / overlay.name)
    # Then
    trained = compose_whole([*started_with, *(override(key, value) for key, value in best.items())])
    command = next(line for line in swept.overlays["best_unet"].splitlines() if "train.py" in line)
    again = compose_whole(command.split()[3:])
    assert recipe(again) == recipe(trained)
    assert again.optimizer._target_ == "torch.optim.SGD"
    assert (again.data.batch_size, again.regularization.dropout, again.data.split.train) == (4, None, 9)
    assert "sweeper" not in swept.overlays["best_unet"]


def test_the_best_setting_says_where_it_comes_from(studies: list[Study], compose_whole: Compose) -> None:
    # When
    swept = report(studies, compose=compose_whole)
    # Then
    head = [line for line in swept.overlays["best_unet"].splitlines() if line.startswith("#")]
    best = studies[1].best_trial
    assert head[0] == "# @package _global_"
    assert f"trial {best.number}, seed 0, F1 {best.value:.4f} at epoch 6" in head[1]
    assert "# Trained anew with seeds 1, 2, 3: mean 0.8700 (standard deviation 0.0100)." in head
    assert head[-1] == "#   python train.py experiment=best_unet"
    assert set(swept.overlays) == {"best_unet", "best_fpn"}

"""The paper's numbers, verdicts on ours, and the page, from numbers made by hand."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime

import numpy as np
import pytest

from landslide.config import flat_params
from landslide.metrics import ratios
from landslide.report.paper import TABLE_I, TABLE_II, remark_on_shares
from landslide.report.reproduction import (
    BETTER,
    NOT,
    TIME,
    WITHIN,
    WORSE,
    Model,
    Reproduction,
    Shown,
    rank,
    ratio_texts,
    verdict,
)
from landslide.report.reproduction_settings import Change
from landslide.report.runs import Artifacts, Objective, Run
from landslide.report.statistics import Estimate, estimate
from landslide.report.table import MISSING
from tests.conftest import compose_run

ROUNDED = 5e-6
"""Half a unit of the last digit of Table II."""

EPOCHS = Change("trainer.max_epochs", "epochs", "100", "6")
SOFTWARE = {"python": "3.11.7", "packages": {"torch": "2.14.1", "segmentation-models-pytorch": "0.6.0"}}


# ------------------------------------------------------------------------------------------------- the paper's numbers
@pytest.mark.parametrize("arch", TABLE_II)
def test_each_f1_of_table_ii_follows_from_its_precision_and_recall_within_rounding(arch: str) -> None:
    row = TABLE_II[arch]
    least, most = (
        2 / (1 / (row.precision + shift) + 1 / (row.recall + shift)) + shift for shift in (-ROUNDED, ROUNDED)
    )
    assert least <= row.f1 <= most


@pytest.mark.parametrize("arch", TABLE_II)
def test_a_confusion_matrix_with_the_share_that_follows_has_the_numbers_of_table_ii(arch: str) -> None:
    # Given: the matrix that precision, recall and the share of landslide pixels make, of so many pixels
    row, pixels = TABLE_II[arch], 10**9
    hits = row.recall * row.landslide_share * pixels
    misses = row.landslide_share * pixels - hits
    false_alarms = hits / row.precision - hits
    counts = np.rint([hits, false_alarms, misses, pixels - hits - misses - false_alarms]).astype(np.int64)
    # When
    found = ratios(counts)
    # Then
    for metric in ("accuracy", "precision", "recall"):
        assert found[metric] == pytest.approx(getattr(row, metric), abs=1e-8)


def test_three_models_were_measured_on_one_share_of_landslide_pixels_and_pspnet_on_another() -> None:
    shares = {arch: row.landslide_share for arch, row in TABLE_II.items()}
    # rounding moves the share by less than (rounding of accuracy) / (wrong pixels a landslide pixel), and as much again
    rounding = 4 * ROUNDED / 0.29
    for arch in ("fpn", "linknet"):
        assert shares[arch] == pytest.approx(shares["unet"], abs=rounding)
    assert shares["pspnet"] - shares["unet"] > 100 * rounding
    assert "8.65 % for U-Net, FPN and LinkNet, but 9.89 % for PSPNet" in remark_on_shares()


# ------------------------------------------------------------------------------------------------------------ verdicts
@pytest.mark.parametrize(
    ("theirs", "expected"), [(0.79, BETTER), (0.80, WITHIN), (0.85, WITHIN), (0.90, WITHIN), (0.91, WORSE)]
)
def test_a_verdict_says_where_the_papers_number_lies(theirs: float, expected: str) -> None:
    assert verdict(theirs, Estimate(0.85, 0.02, 0.80, 0.90, seeds=3, tiles=80)) == expected


@pytest.mark.parametrize(
    ("ours", "why"),
    [
        (None, "no run has finished"),
        (Estimate(0.85, math.nan, 0.80, 0.90, seeds=1, tiles=80), "one seed has no interval"),
        (Estimate(math.nan, math.nan, math.nan, math.nan, seeds=2, tiles=80), "undefined in a run"),
    ],
)
def test_what_has_no_interval_is_not_comparable_and_says_why(ours: Estimate | None, why: str) -> None:
    assert verdict(0.85, ours) == f"{NOT}: {why}"


# ---------------------------------------------------------------------------------------------- models with made counts
def run(arch: str, seed: int, minutes: float = 1.0, **tags: str) -> Run:
    return Run(
        id=f"{arch}{seed}",
        experiment_id="1",
        name=f"{arch} seed={seed}",
        status="FINISHED",
        params=flat_params(compose_run("experiment=paper", f"arch={arch}")) | {"seed": str(seed)},
        tags={"landslide.device": "one", "landslide.precision": "bf16", **tags},
        metrics={"time/fit_s": 60 * minutes, "best/epoch": 2.0},
        artifact_uri="",
        started=0,
    )


def counts(f1: float, seeds: int, tiles: int = 80) -> np.ndarray:
    """Of an F1 near this one, another one for each seed."""
    made = []
    for seed in range(seeds):
        rest = np.random.default_rng([seed, round(f1 * 1e4)])
        landslide = np.random.default_rng(0).integers(100, 2000, tiles)
        hits, false_alarms = rest.binomial(landslide, f1), rest.binomial(landslide, 1 - f1)
        made.append(np.stack([hits, false_alarms, landslide - hits, 16384 - landslide - false_alarms], axis=-1))
    return np.stack(made) if made else np.zeros((0, 0, 4), np.int64)


def model(arch: str, f1: float, seeds: int = 3, minutes: float = 1.0, **tags: str) -> Model:
    return Model(arch, tuple(run(arch, seed, minutes, **tags) for seed in range(seeds)), counts(f1, seeds))


def reproduction(*models: Model, changes: tuple[Change, ...] = (), failures: tuple[str, ...] = ()) -> Reproduction:
    history = {"train/loss": [(1, 0.5), (2, 0.4)], "val/loss": [(1, 0.6), (2, 0.5)], "val/f1": [(1, 0.7), (2, 0.8)]}
    split = {"train": ["a"] * 690, "val": ["b"] * 80}
    there = [each for each in models if each.runs]
    return Reproduction(
        name="reproduce-paper" + "".join(f"-{change.label}-{change.ours}" for change in changes),
        changes=changes,
        seeds=(0, 1, 2),
        models=models,
        shown={
            each.arch: Shown(Artifacts(split=split, environment=SOFTWARE), tuple(history for _ in each.runs))
            for each in there
        },
        failures=failures,
        objective=Objective("val/f1", maximize=True),
        tracking_uri="sqlite:///mlflow.db",
        created=datetime(2026, 11, 23, tzinfo=UTC),
    )


def four(seeds: int = 3) -> list[Model]:
    """FPN is better than in the paper, PSPNet worse, U-Net the same."""
    f1 = {"unet": 0.845, "pspnet": 0.78, "fpn": 0.90, "linknet": 0.80}
    minutes = {"unet": 3.0, "pspnet": 1.0, "fpn": 4.0, "linknet": 2.0}
    return [model(arch, f1[arch], seeds, minutes[arch]) for arch in TABLE_II]


def cells(found: Reproduction, title: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    """By the words of the first two columns, those of the others."""
    (table,) = [table for table in found.tables if table.title.startswith(title)]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    texts = [tuple(cell.text for cell in row) for row in rows]
    return {row[:2]: row[2:] for row in texts}


def test_each_cell_has_the_papers_number_ours_its_interval_and_a_verdict() -> None:
    models = four()
    found = cells(reproduction(*models), "Table II")
    ours = estimate(models[2].counts, "f1")
    assert found["FPN", "F1"] == (
        "0.81944",
        f"{ours.mean:.4f} ± {ours.sd:.4f}",
        f"{ours.low:.4f} to {ours.high:.4f}",
        BETTER,
    )
    assert found["U-Net", "F1"][-1] == WITHIN
    assert found["PSPNet", "F1"][-1] == WORSE
    assert found["FPN", "Time (min)"] == ("1252", "4.0", MISSING, "not comparable: another machine")
    assert len(found) == 4 * 5


def test_with_one_seed_every_verdict_is_that_there_is_no_interval() -> None:
    found = reproduction(*four(seeds=1))
    verdicts = {row[-1] for key, row in cells(found, "Table II").items() if key[1] != "Time (min)"}
    assert verdicts == {"not comparable: one seed has no interval"}
    assert "0 within our interval, 0 better, 0 worse, 16 not comparable" in found.sentence
    assert found.differences == ["Which of our models are better cannot be told from one seed each."]
    assert "## These architectures or settings: F1 of our models at the last epoch" in found.markdown()


def test_other_data_than_the_papers_gets_no_verdict() -> None:
    found = reproduction(*four(), changes=(Change("data.name", "data", "bijie", "synthetic"),))
    assert cells(found, "Table II")["U-Net", "F1"][-1] == "not comparable: other data"


def test_rankings_are_compared_by_kendalls_tau_and_of_times_the_shortest_is_first() -> None:
    models = four()
    f1, time = rank("f1", models), rank(TIME, models)
    assert f1 is not None
    assert f1.theirs == ("LinkNet", "U-Net", "PSPNet", "FPN")
    assert f1.ours == ("FPN", "U-Net", "LinkNet", "PSPNet")
    assert f1.tau == pytest.approx((2 - 4) / 6)  # of the six pairs, U-Net and LinkNet stand before PSPNet in both
    assert time is not None
    assert time.theirs == ("LinkNet", "PSPNet", "U-Net", "FPN")
    assert time.ours == ("PSPNet", "LinkNet", "U-Net", "FPN")
    assert time.tau == pytest.approx((5 - 1) / 6)
    assert rank("f1", models[:1]) is None


def test_the_caption_says_the_p_value_of_four_models_in_the_same_order() -> None:
    f1 = {arch: row.f1 for arch, row in TABLE_II.items()}
    found = rank("f1", [model(arch, value) for arch, value in f1.items() if arch != "pspnet"] + [model("pspnet", 0.83)])
    assert found is not None
    assert found.tau == 1
    assert found.p == pytest.approx(2 / 24)


def test_times_are_ratios_to_the_fastest_and_those_of_several_devices_are_not_compared() -> None:
    found = reproduction(*four())
    assert cells(found, "Training time")["U-Net", "1.17"] == ("3.00",)
    assert cells(found, "Training time")["LinkNet", "1.00"] == ("2.00",)
    mixed = reproduction(*four()[:3], model("linknet", 0.8, **{"landslide.device": "another"}))
    assert {row[0] for row in cells(mixed, "Training time").values()} == {MISSING}
    assert TIME not in [ranking.quantity for ranking in mixed.rankings]
    assert ratio_texts({"unet": math.nan}, ["unet"]) == [MISSING]


def test_table_i_says_what_differs_and_why() -> None:
    found = cells(reproduction(*four()), "Table I ")
    assert all(found[name, theirs] == (theirs, "") for name, theirs in TABLE_I.items())
    assert found["Backbone", "ResNet50"] == ("ResNet50", "")
    assert found["Images for training", "690"] == ("690", "")
    software, why = next(row for (name, _), row in found.items() if name == "Software")
    assert software == "PyTorch 2.14.1, segmentation-models-pytorch 0.6.0, Python 3.11.7"
    assert "another library" in why


def test_what_is_scaled_stands_in_every_title_and_file_name_and_in_table_i() -> None:
    # Given: a change that Table I names, and one that it does not
    changes = (EPOCHS, Change("regularization.ema", "ema", "None", "0.9"))
    models = four()
    for each in models[0].runs:
        each.params["trainer.max_epochs"] = "6"
    found = reproduction(*models, changes=changes)
    # When
    titles = [found.title, *(table.title for table in found.tables), *(each.title for each in found.pictures)]
    # Then
    assert len(titles) == 1 + 4 + 2
    assert all("scaled: epochs 6, ema 0.9" in title for title in titles)
    headings = [line for line in found.markdown().splitlines() if line.startswith("#")]
    assert all("scaled: epochs 6, ema 0.9" in heading for heading in headings)
    assert found.latex().count("scaled: epochs 6, ema 0.9") == 4
    assert cells(found, "Table I ")["Epochs", "100"] == ("6", "scaled")
    assert cells(found, "Table I ")["ema", "None"] == ("0.9", "scaled")
    assert "epochs 6, theirs 100; ema 0.9, theirs None" in found.notes[0]


def test_an_unscaled_one_says_nothing_of_scaling() -> None:
    found = reproduction(*four())
    assert "scaled" not in found.markdown().lower()


def test_what_is_missing_or_failed_is_said_and_has_no_numbers(tmp_path) -> None:
    # Given: FPN has one seed of three, LinkNet none
    models = [*four()[:2], model("fpn", 0.9, seeds=1), model("linknet", 0.8, seeds=0)]
    found = reproduction(*models, failures=("fpn repeat seed=1 failed: the loss is no number",))
    # When
    said = " ".join(found.notes)
    # Then
    assert "Not there, and left out: FPN seed 1, 2; LinkNet seed 0, 1, 2." in said
    assert "fpn repeat seed=1 failed: the loss is no number" in said
    assert cells(found, "Table II")["LinkNet", "F1"] == (
        "0.85766",
        MISSING,
        MISSING,
        "not comparable: no run has finished",
    )
    assert len(found.differences) == 1
    assert {path.name for path in found.write(tmp_path)} >= {"reproduce-paper.html", "reproduce-paper-figure_7.png"}


def test_nothing_finished_is_still_a_report() -> None:
    found = reproduction(*(model(arch, 0.8, seeds=0) for arch in TABLE_II))
    assert "16 not comparable" in found.sentence
    assert found.pictures == []
    assert "U-Net seed 0, 1, 2" in found.markdown()
    assert found.latex()


def test_the_csv_file_has_every_number_in_full() -> None:
    models = four()
    lines = list(csv.DictReader(io.StringIO(reproduction(*models, changes=(EPOCHS,)).csv())))
    (line,) = [line for line in lines if (line["model"], line["quantity"]) == ("unet", "recall")]
    expected = estimate(models[0].counts, "recall")
    assert [float(line[key]) for key in ("paper", "ours", "sd", "low", "high")] == [
        0.85389,
        expected.mean,
        expected.sd,
        expected.low,
        expected.high,
    ]
    assert (line["seeds"], line["tiles"], line["scaled"]) == ("3", "80", "epochs 6")
    (minutes,) = [line for line in lines if (line["model"], line["quantity"]) == ("unet", "minutes")]
    assert (float(minutes["ours"]), minutes["low"], minutes["verdict"]) == (3.0, "", "not comparable: another machine")


def test_the_page_says_the_paper_contradicts_itself_and_links_each_run() -> None:
    page = reproduction(*four()).html()
    assert "Its text gives LinkNet 574 minutes (section IV B), its Table II 567" in page
    assert "48 does not divide" in page
    assert "which 80 images it validated on is not published" in page
    assert 'href="http://127.0.0.1:5000/#/experiments/1/runs/linknet2">seed 2</a>' in page
    assert page.count("<svg") == 2

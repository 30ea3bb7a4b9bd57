"""The paper's tables beside ours, and the page, from numbers made by hand."""

from __future__ import annotations

import csv
import io
import math

import pytest

from landslide.report.paper import TABLE_I, TABLE_II
from landslide.report.reproduction_models import TIME
from landslide.report.reproduction_settings import Change
from landslide.report.reproduction_tables import ratio_texts
from landslide.report.reproduction_verdicts import BETTER, WITHIN, WORSE, rankings
from landslide.report.statistics import estimate
from landslide.report.table import MISSING
from tests.report.reproductions import EPOCHS, cells, four, model, reproduction
from tests.report.test_page import Tags


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


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Change("data.name", "data", "bijie", "synthetic"), "other data"),
        (Change("data.root", "data", "Bijie", "synthetic"), "other data"),
        (Change("data.split.by", "by", "tile", "group"), "not a split at random"),
    ],
)
def test_other_data_than_the_papers_and_another_kind_of_split_get_no_verdict(change: Change, why: str) -> None:
    found = reproduction(*four(), changes=(change,))
    assert cells(found, "Table II")["U-Net", "F1"][-1] == f"not comparable: {why}"


def test_times_are_ratios_to_the_fastest_and_those_of_several_devices_are_not_compared() -> None:
    found = reproduction(*four())
    assert cells(found, "Training time")["U-Net", "1.17"] == ("3.00",)
    assert cells(found, "Training time")["LinkNet", "1.00"] == ("2.00",)
    mixed = reproduction(*four()[:3], model("linknet", 0.8, **{"landslide.device": "another"}))
    assert {row[0] for row in cells(mixed, "Training time").values()} == {MISSING}
    assert TIME not in [ranking.quantity for ranking in rankings(mixed.models)]
    assert ratio_texts({"unet": math.nan}, ["unet"]) == [MISSING]


def test_what_makes_our_runs_unfair_to_compare_is_said_first_and_in_red() -> None:
    found = reproduction(*four()[:3], model("linknet", 0.8, **{"landslide.commit": "abc"}))
    differ = "The runs differ in commit: the code may have changed between them."
    assert found.unfair[0].startswith(differ)
    assert "PSPNet cannot be trained with it" in found.unfair[1]
    assert f"- {differ}" in found.markdown()
    page = found.html()
    assert page.index('<ul class="unfair"') < page.index(differ) < page.index('<p class="result">')


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


def test_each_number_of_ours_links_to_the_runs_that_it_is_of_and_those_of_the_paper_to_none() -> None:
    # Given: LinkNet has one seed
    models = [*four()[:3], model("linknet", 0.8, seeds=1)]
    found = reproduction(*models)
    # When
    links = Tags(found.html()).links

    # Then
    def address(*ids: str) -> str:
        if len(ids) == 1:
            return f"http://127.0.0.1:5000/#/experiments/1/runs/{ids[0]}"
        quoted = ",".join(f"%22{each}%22" for each in ids)
        return f"http://127.0.0.1:5000/#/compare-runs?runs=[{quoted}]&experiments=[%221%22]"

    of_unet = [run.id for run in models[0].runs]
    of_all = [run.id for each in models for run in each.runs]
    settings = len(found.tables[0].columns[0].cells)
    assert links.count(address(*of_unet)) == 4 + 4 + 1 + 1  # metrics, their intervals, minutes, ratio of times
    assert links.count(address("linknet0")) == 4 + 4 + 1 + 1 + 1  # and in the footer
    assert links.count(address(*of_all)) == 2 * 5  # tau and p, of each metric and of time
    assert links.count(address("unet0")) == settings + 1
    assert len(links) == 3 * 10 + 11 + 10 + settings + 3 * 3
    assert None not in links

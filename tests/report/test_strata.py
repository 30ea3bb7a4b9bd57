"""Strata: which runs stand together, what their numbers come to, and how they are said."""

from __future__ import annotations

import csv
import io
from statistics import mean, stdev

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import average_precision_score

from landslide.report import Comparison, compare, statistics
from landslide.report.comparison import with_searches
from landslide.report.pairs import columns
from landslide.report.runs import read_validation
from landslide.report.sweep import report_sweep
from landslide.report.table import escape_latex
from tests.report import sweeps
from tests.report.conftest import Store

F1 = {"unet": (0.80, 0.83, 0.86), "fpn": (0.78, 0.82, 0.84)}


@pytest.fixture(scope="module")
def seeded(store: Store) -> Comparison:
    """Two architectures, three seeds each."""
    runs = [
        store.tested(f1, seed, params={"arch.name": arch})
        for arch, values in F1.items()
        for seed, f1 in enumerate(values)
    ]
    return compare(store.client, runs)


def printed(comparison: Comparison, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO())
    comparison.terminal(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_runs_that_differ_in_their_seed_alone_are_one_stratum(store: Store, seeded: Comparison) -> None:
    assert sorted(stratum.name for stratum in seeded.strata) == ["FPN", "U-Net"]
    assert [row.seed for row in seeded.strata[0].rows] == ["0", "1", "2"]


def test_where_a_run_lies_and_how_many_threads_it_had_make_no_other_stratum(store: Store) -> None:
    runs = [
        store.score(0.8),
        store.score(0.9, params={"seed": "1", "data.root": "elsewhere", "trainer.threads": "4", "ckpt_path": "x"}),
    ]
    (stratum,) = compare(store.client, runs).strata
    assert len(stratum.rows) == 2


def test_other_data_make_another_stratum_and_its_name_says_so(store: Store) -> None:
    runs = [store.score(0.8, tags={"landslide.data_digest": digest * 8}) for digest in ("0a", "1b")]
    assert [stratum.name for stratum in compare(store.client, runs).strata] == [
        "U-Net (data 0a0a0a0a)",
        "U-Net (data 1b1b1b1b)",
    ]


def test_the_same_seeds_twice_are_two_strata(store: Store) -> None:
    # Given: two trainings of the same three seeds, as at two commits
    runs = [store.score(f1, params={"seed": seed}) for f1 in (0.8, 0.9) for seed in "012"]
    # When
    strata = compare(store.client, runs).strata
    # Then
    assert [[row.run.id for row in stratum.rows] for stratum in strata] == [runs[3:], runs[:3]]
    assert len({stratum.name for stratum in strata}) == 2


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_seed_that_was_trained_again_elsewhere_stands_alone_in_whatever_order_runs_arrive(
    store: Store, *, newest_first: bool
) -> None:
    # Given: three seeds at a commit, and the first of them again at another one
    runs = [store.score(0.8, params={"seed": seed}, tags={"landslide.commit": "abc"}) for seed in "012"]
    again = store.score(0.7, tags={"landslide.commit": "def"})
    # When: a filter finds the newest first
    strata = compare(store.client, [again, *runs[::-1]] if newest_first else [*runs, again]).strata
    # Then
    assert [[row.run.id for row in stratum.rows] for stratum in strata] == [runs, [again]]


def test_seeds_of_two_commits_are_one_stratum_unless_both_have_one_of_them(store: Store) -> None:
    # Given
    seeds = {"abc": "012", "def": "34", "fed": "25"}
    runs = {
        commit: [store.score(0.8, params={"seed": seed}, tags={"landslide.commit": commit}) for seed in seeds[commit]]
        for commit in seeds
    }
    # When
    strata = compare(store.client, [*runs["fed"], *runs["def"], *runs["abc"]]).strata
    # Then
    found = sorted([row.run.id for row in stratum.rows] for stratum in strata)
    assert found == sorted([[*runs["abc"], *runs["def"]], runs["fed"]])


def test_a_seed_that_failed_and_was_trained_again_leaves_its_place(store: Store) -> None:
    failed = store.log(status="FAILED", tags={"landslide.failure": "out of memory"})
    runs = [store.score(0.8, params={"seed": seed}) for seed in "012"]
    strata = compare(store.client, [failed, *runs]).strata
    assert [[row.run.id for row in stratum.rows] for stratum in strata] == [runs, [failed]]


def test_a_stratum_has_the_mean_and_the_deviation_of_its_runs(store: Store, seeded: Comparison) -> None:
    for stratum in seeded.strata:
        logged = [store.client.get_run(row.run.id).data.metrics["best/f1"] for row in stratum.rows]
        text = f"{mean(logged):.4f} \N{PLUS-MINUS SIGN} {stdev(logged):.4f}"
        assert text in printed(seeded)
        assert text in seeded.markdown()
        assert stratum.interval("f1") == statistics.estimate(_counts(store, stratum.rows), "f1")


def _counts(store: Store, rows: tuple[object, ...]) -> np.ndarray:
    found = [read_validation(store.client, row.run) for row in rows]  # type: ignore[attr-defined]
    return np.stack([validation.counts for validation in found if validation])


def test_the_file_of_strata_holds_every_interval(seeded: Comparison) -> None:
    # Given
    lines = list(csv.DictReader(io.StringIO(seeded.texts()["strata.csv"])))
    # Then
    assert [line["stratum"] for line in lines] == [stratum.name for stratum in seeded.strata]
    for line, stratum in zip(lines, seeded.strata, strict=True):
        assert (line["seeds"], line["tiles"]) == ("3", "20")
        for key in ("accuracy", "f1", "iou", "f1_last"):
            found = stratum.interval(key)
            assert found
            assert [float(line[f"{key}_{end}"]) for end in ("mean", "low", "high")] == pytest.approx(
                [found.mean, found.low, found.high]
            )
        assert float(line["time_s_mean"]) == 61
        assert float(line["time_s_sd"]) == 1


def test_area_and_calibration_are_those_of_the_pixels(store: Store, seeded: Comparison) -> None:
    # Given: every pixel of one run, in a list
    row = seeded.rows[0]
    stored = read_validation(store.client, row.run)
    assert stored
    background, landslide = stored.histograms.sum(0)
    truth = np.repeat([0, 1], [background.sum(), landslide.sum()])
    bins = np.concatenate([np.repeat(np.arange(256), background), np.repeat(np.arange(256), landslide)])
    # Then
    assert row.numbers["average_precision"] == pytest.approx(average_precision_score(truth, bins))
    assert row.numbers["f1_at_threshold"] == pytest.approx(row.numbers["f1"])  # of two bins, 0.5 parts them best
    assert row.numbers["threshold"] == pytest.approx(0.5, abs=0.01)


def test_both_questions_are_asked_of_every_pair_and_never_mixed(seeded: Comparison) -> None:
    networks, recipes = seeded.questions
    assert [len(question.pairs) for question in (networks, recipes)] == [1, 1]
    assert networks.pairs[0].p < 0.1 < recipes.pairs[0].p  # the seeds scatter more than the tiles
    text = printed(seeded)
    assert text.index(networks.title) < text.index(recipes.title)
    assert "cannot be told apart with 20 tiles and 3 seeds" in seeded.sentence


def test_what_each_pair_shows_is_said_in_every_form(seeded: Comparison) -> None:
    for question in seeded.questions:
        (said,) = question.sentences
        assert all(said in text for text in (seeded.html(), seeded.markdown(), " ".join(printed(seeded).split())))
        assert escape_latex(said) in seeded.latex()
    assert r"\label{tab:landslide-networks}" in seeded.latex()
    assert r"\label{tab:landslide-recipes}" in seeded.latex()


def test_the_terminal_says_the_first_three_and_how_many_more_there_are(store: Store) -> None:
    # Given: six pairs of networks, none of recipes
    runs = [store.tested(0.6 + 0.1 * at, params={"optimizer.lr": f"{at + 1}e-3"}) for at in range(4)]
    # When
    compared = compare(store.client, runs)
    networks, _ = compared.questions
    told = " ".join(printed(compared).split())
    # Then
    assert [sentence in told for sentence in networks.sentences] == [True] * 3 + [False] * 3
    assert told.count("- 3 more in differences.csv, which -o FOLDER writes.") == 1


def test_with_one_seed_each_the_second_question_is_refused_in_words(store: Store) -> None:
    runs = [store.tested(f1, params={"arch.name": arch}) for arch, f1 in (("unet", 0.8), ("fpn", 0.9))]
    compared = compare(store.client, runs)
    networks, recipes = compared.questions
    assert networks.pairs
    assert not recipes.pairs
    assert "says nothing about training again, so no answer is given" in printed(compared)
    assert "says nothing about training again, so no answer is given" in compared.html()


def test_a_single_stratum_is_shown_without_tests_and_says_why(store: Store) -> None:
    compared = compare(store.client, [store.tested(0.8)])
    assert any(note.startswith("Nothing is tested: a test needs two strata") for note in compared.notes)
    assert "These trained networks" not in printed(compared)


def test_figures_at_the_best_epoch_are_marked_as_selected_and_the_last_epoch_is_not(seeded: Comparison) -> None:
    headings = {column.key: column.heading for column in seeded.columns}
    for key in ("f1", "f1_interval", "recall", "average_precision", "threshold", "temperature"):
        assert headings[key].endswith("\N{DAGGER}")
    assert headings["f1_last"] == "F1, last epoch"
    assert headings["f1_last_interval"] == "F1, last epoch, 95 %"
    for question in seeded.questions:
        of_pairs = [column.heading for column in columns(question)[2:]]
        last = of_pairs.index("Last epoch")
        assert all(heading.endswith("\N{DAGGER}") for heading in of_pairs[:last])
        assert of_pairs[last:] == ["Last epoch", "95 %", "p (Holm)"]
    assert "\N{DAGGER} At the best epoch by val/f1, selected on these tiles" in seeded.caption


def test_times_of_different_devices_are_shown_and_not_ranked(store: Store) -> None:
    # Given
    runs = [
        store.tested(f1, params={"arch.name": arch}, tags={"landslide.device": device})
        for arch, f1, device in (("unet", 0.8, "a CPU, 2 threads"), ("fpn", 0.9, "NVIDIA H100"))
    ]
    # When
    compared = compare(store.client, runs)
    # Then
    (times,) = [column for column in compared.columns if column.key == "time_s"]
    assert not times.rankable
    assert not any(cell.best for cell in times.cells)
    assert "f1_against_time" not in [picture.name for picture in compared.pictures]
    first, second = compared.unfair
    assert first.startswith("The runs differ in device: times and images/s are not ranked.")
    assert second.startswith("Trained on a GPU without trainer.deterministic=true, so the same seed does not give")
    assert second.endswith(": FPN.")


def test_what_differs_inside_a_stratum_is_told_run_by_run(store: Store) -> None:
    runs = [
        store.score(0.8, params={"arch.name": arch, "seed": str(seed)}, tags={"landslide.commit": commit})
        for arch, seed, commit in (("unet", 0, "abc"), ("unet", 1, "def"), ("manet", 0, "def"), ("manet", 1, "def"))
    ]
    (told,) = compare(store.client, runs).unfair
    assert told.endswith("abc (U-Net, seed 0); def (U-Net, seed 1; MA-Net).")


def test_of_a_sweep_what_mattered_stands_on_the_page(seeded: Comparison) -> None:
    report = report_sweep(sweeps.two_strata(), tracking_uri="sqlite:///mlflow.db", command="")
    found = with_searches(seeded, {"lr_batch": report.pictures})
    titles = [picture.title for picture in found.pictures[-2:]]
    assert titles == ["What mattered, in lr_batch", "F1 against each parameter, in lr_batch"]
    assert all(title in found.html() for title in titles)
    assert all("selected on these tiles" in picture.caption for picture in found.pictures[-2:])


def test_what_is_unfair_stands_in_red_at_the_top(store: Store) -> None:
    runs = [store.tested(0.8), store.tested(0.9, params={"trainer.max_epochs": "9"})]
    compared = compare(store.client, runs)
    assert printed(compared).startswith("The runs differ in number of epochs: some were trained for longer.")
    page = compared.html()
    assert page.index('<ul class="unfair"') < page.index('<p class="result">')


def test_of_more_than_twenty_strata_each_meets_the_best_and_that_is_said(store: Store) -> None:
    # Given
    runs = [store.tested(0.5 + 0.02 * at, params={"optimizer.lr": f"{at + 1}e-3"}) for at in range(21)]
    # When
    networks, _ = compare(store.client, runs).questions
    # Then
    assert len(networks.pairs) == 20
    assert "of 20 pairs, each with the best one and corrected for all 210" in networks.summary

"""``landslide compare`` as a person types it, on runs that cannot be compared, or only by some of them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import optuna
import pytest
from optuna import Study

from landslide.cli.main import main
from landslide.errors import ComparisonError
from landslide.report import compare
from landslide.report.pairs import RECIPES
from landslide.report.runs import Objective, read_run, read_validation
from landslide.report.sweep_trials import read_strata
from tests.report.conftest import Store

F1 = {"unet": 0.8, "fpn": 0.9}


def compared(store: Store, *words: str) -> int:
    return main(["compare", *words, "--uri", store.client.tracking_uri])


def counts_of(store: Store, run_id: str) -> Path:
    """Where the file lies."""
    return Path(urlparse(store.client.get_run(run_id).info.artifact_uri).path) / "validation" / "best.npz"


@pytest.fixture(scope="module")
def other_tiles(store: Store) -> list[str]:
    """Two architectures of two seeds, validated on different landslides."""
    return [
        store.tested(f1 + 0.01 * seed, seed, ground=ground, params={"arch.name": arch})
        for ground, (arch, f1) in enumerate((("unet", 0.8), ("fpn", 0.9)))
        for seed in range(2)
    ]


def test_runs_on_other_tiles_are_refused_with_the_cure(
    store: Store, other_tiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(store, *other_tiles) == 2
    told = capsys.readouterr()
    assert "FPN on 20 tiles (1_000, ...); U-Net on 20 tiles (0_000, ...)" in told.err
    assert "--unpaired" in told.err
    assert told.out == ""


def test_folds_are_refused_with_the_table_that_is_theirs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    folds = [
        store.tested(0.8, ground=ground, params={"data.split.hold_out": group})
        for ground, group in enumerate(("None", "js", "hz"))
    ]
    assert compared(store, *folds) == 2
    told = capsys.readouterr().err
    assert "They are folds, and those have a table of their own" in told
    assert "landslide compare --filter \"params.`data.split.hold_out` = 'hz'\"" in told
    assert "--unpaired" not in told


def test_unpaired_compares_them_over_seeds_alone_and_says_so(
    store: Store, other_tiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(store, *other_tiles, "--unpaired") == 0
    told = capsys.readouterr().out
    assert "Not all runs were validated on the same tiles, so these networks cannot be compared tile by tile" in told
    assert "by themselves" not in told
    assert "In 1 of 1 pairs the tiles are not the same: there the variance of each side's own tiles counts in" in told


def test_unpaired_leaves_those_paired_that_share_their_tiles(
    store: Store, other_tiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a third one on the tiles of U-Net
    third = [store.tested(0.85 + 0.01 * seed, seed, params={"arch.name": "pan"}) for seed in range(2)]
    together = compare(store.client, [*other_tiles[:2], *third]).questions[-1].pairs
    # When
    questions = compare(store.client, [*other_tiles, *third]).questions
    assert compared(store, *other_tiles, *third, "--unpaired") == 0
    # Then
    pairs = {(pair.first, pair.second): pair for pair in questions[-1].pairs}
    assert pairs["PAN", "U-Net"].df == together[0].df
    assert pairs["PAN", "U-Net"].p == together[0].p
    told = " ".join(capsys.readouterr().out.split())
    assert "In 2 of 3 pairs the tiles are not the same: there the variance of each side's own tiles" in told
    assert "Compare those by themselves that share theirs: PAN and U-Net." in told


def test_a_run_without_counts_is_refused_with_the_cure(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store.score(0.8)
    assert compared(store, run_id, store.tested(0.9)) == 2
    told = capsys.readouterr().err
    assert f"Run '{run_id}' (run) has no counts of its tiles" in told
    assert f"landslide rerun {run_id[:8]}" in told


def test_a_sweep_is_refused_where_none_of_its_runs_has_counts(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    # Given
    parent = store.log(name="uncounted", tags={"landslide.kind": "multirun"})
    tags = {"landslide.kind": "run", "mlflow.parentRunId": parent}
    run_id = store.score(0.8, tags=tags)
    # Then
    assert compared(store, parent) == 2
    assert f"Run '{run_id}' (run) has no counts of its tiles" in capsys.readouterr().err
    # And: where one has them, that the other has none is a note
    store.tested(0.9, seed=1, tags=tags)
    assert compared(store, parent) == 0
    assert "Without counts of their tiles, so not in the tests" in capsys.readouterr().out


def test_a_file_of_counts_that_is_cut_off_is_told_like_one_that_is_missing(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = store.tested(0.8)
    path = counts_of(store, run_id)
    path.write_bytes(path.read_bytes()[:200])
    assert compared(store, run_id) == 2
    assert "has no counts of its tiles" in capsys.readouterr().err


def test_where_one_seed_has_lost_its_last_epoch_the_best_one_is_tested_all_the_same(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: two seeds each, of which one has half a file of its last epoch
    runs = [store.tested(f1, seed, params={"arch.name": arch}) for arch, f1 in F1.items() for seed in range(2)]
    path = counts_of(store, runs[0]).with_name("last.npz")
    path.write_bytes(path.read_bytes()[:200])
    # When
    assert compared(store, *runs) == 0
    # Then
    told = capsys.readouterr().out
    assert "validation/last.npz cannot be read" in told
    assert "of 1 pair: " in told.partition("These architectures or settings")[2]


def test_who_was_trained_once_is_named_and_is_not_what_the_result_is_told_of(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: the best of three was trained once
    runs = [store.tested(f1, seed, params={"arch.name": arch}) for arch, f1 in F1.items() for seed in range(2)]
    best = store.tested(0.95, params={"arch.name": "pan"})
    # When
    assert compared(store, best, *runs) == 0
    # Then
    told = " ".join(capsys.readouterr().out.split())
    once = "PAN was trained with one seed, which says nothing about training again, so no answer is given for it."
    assert "PAN has the highest mean F1, " in told.partition(once)[0]
    assert told.count(once) == 2  # in the result, and at the question


def test_a_ratio_that_is_undefined_in_a_run_is_a_dash_and_never_a_nan(store: Store) -> None:
    # Given: one of two seeds calls nothing landslide, so it has no precision
    runs = [store.tested(f1, seed, params={"arch.name": arch}) for arch, f1 in F1.items() for seed in range(2)]
    path = counts_of(store, runs[0])
    for name in ("best.npz", "last.npz"):
        with np.load(path.with_name(name)) as stored:
            arrays = dict(stored)
        nothing = np.zeros_like(arrays["counts"])
        nothing[:, 2], nothing[:, 3] = arrays["counts"][:, [0, 2]].sum(1), arrays["counts"][:, [1, 3]].sum(1)
        np.savez(path.with_name(name), **{**arrays, "counts": nothing})
    # When
    comparison = compare(store.client, runs, Objective("val/precision", maximize=True))
    # Then
    page, text = comparison.html(), comparison.markdown()
    assert 'data-value="nan"' not in page
    assert "nan" not in re.findall(r"[\w.]+", text)
    (question,) = [question for question in comparison.questions if question.title == RECIPES]
    assert "cannot be compared in Precision, which is undefined for a run" in question.sentences[0]


@pytest.mark.parametrize("array", ["counts", "histograms", "tile_id"])
def test_arrays_of_another_shape_are_no_validation(store: Store, array: str) -> None:
    run_id = store.tested(0.8)
    path = counts_of(store, run_id)
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, array: arrays[array][:-1]})
    with pytest.raises(ComparisonError, match=r"validation/best\.npz cannot be read"):
        read_validation(store.client, read_run(store.client.get_run(run_id)))


def test_a_run_that_still_goes_is_refused_where_it_was_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store.log(status="RUNNING")
    assert compared(store, run_id, store.tested(0.9)) == 2
    assert f"Run '{run_id}' (run) is still going" in capsys.readouterr().err


def test_what_a_filter_finds_and_the_tests_leave_out_is_named_with_the_reason(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: of one setting two finished seeds, one without counts, one that still goes and one that was killed
    tags = {"landslide.kind": "run", "of": "half done"}
    for seed in range(2):
        store.tested(0.8, seed, tags=tags)
    store.score(0.8, params={"seed": "2"}, tags=tags)
    store.log(status="RUNNING", params={"seed": "3"}, tags=tags)
    store.log(status="KILLED", params={"seed": "4"}, tags=tags)
    # When
    assert compared(store, "--filter", "tags.of = 'half done'") == 0
    # Then
    told = capsys.readouterr().out
    assert "Without counts of their tiles, so not in the tests: U-Net, seed 2." in told
    assert "Still going, so without numbers here: U-Net, seed 3." in told
    assert "Interrupted, so without numbers here: U-Net, seed 4." in told


def test_of_a_search_that_still_goes_the_best_so_far_is_said_to_be_that(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    tags = {"landslide.kind": "multirun", "landslide.sweep": "under way", "landslide.sampler": "tpe"}
    parent = store.client.create_run(store.experiment, run_name="under way", tags=tags).info.run_id
    place = {"mlflow.parentRunId": parent, "landslide.kind": "run"}
    store.tested(0.8, tags=place | {"landslide.trial": "0"})
    store.log(status="RUNNING", params={"optimizer.lr": "0.1"}, tags=place | {"landslide.trial": "1"})
    # When
    assert compared(store, "under way") == 0
    # Then
    assert "Still going, so the best setting may change: 1 of its runs." in capsys.readouterr().out


def test_one_run_alone_is_shown_without_tests_and_that_is_no_error(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(store, store.tested(0.8)) == 0
    told = capsys.readouterr().out
    assert "no other finished run stands beside it" in told
    assert "Nothing is tested: a test needs two strata" in told


def test_a_database_of_sweeps_that_does_not_answer_takes_away_what_mattered_and_nothing_else(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: PostgreSQL is down, and the runs of the sweep are in MLflow
    monkeypatch.setenv("LANDSLIDE_SWEEP_STORAGE", "postgresql://me:secret@127.0.0.1:1/sweeps")
    # When
    assert compared(store, store.parent, "-o", str(tmp_path)) == 0
    # Then
    told = capsys.readouterr()
    (said,) = [line for line in told.out.splitlines() if line.startswith("What mattered in 'four models' is not shown")]
    assert "cannot be used" in said
    assert "secret" not in told.out + told.err
    assert (tmp_path / "comparison.html").is_file()


def test_a_database_of_sweeps_that_goes_away_while_it_is_read_takes_away_what_mattered_and_nothing_else(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a database that opens and lists the sweep's study, and then loses its trials
    database = tmp_path / "sweeps.db"
    monkeypatch.setenv("LANDSLIDE_SWEEP_STORAGE", f"sqlite:///{database}")
    study = optuna.create_study(storage=f"sqlite:///{database}", study_name="four models/all")
    objective = {"metric": "val/f1", "direction": "maximize"}
    for key, value in {"sweep": "four models", "kind": "search", "stratum": "all", "objective": objective}.items():
        study.set_user_attr(key, value)

    def read_from_nothing(studies: Sequence[Study]) -> object:
        with sqlite3.connect(database) as other:
            other.execute("DROP TABLE trials")
        return read_strata(studies)

    monkeypatch.setattr("landslide.report.sweep.read_strata", read_from_nothing)
    # When
    assert compared(store, store.parent, "-o", str(tmp_path / "out")) == 0
    # Then
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "is not shown" in line]
    assert said.startswith(f"What mattered in 'four models' is not shown: sqlite:///{database}: cannot be used (")
    assert "no such table: trials" in said
    assert (tmp_path / "out" / "comparison.html").is_file()

"""The table of the test part, from counts that are made up."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from landslide.errors import ComparisonError
from landslide.report.custody import CustodyReport, Scored, report_test
from landslide.report.runs import Run
from landslide.report.table import MISSING
from tests.report.conftest import Store

TILES = 12


def stored_run(name: str, seed: int, validation: float = 0.9) -> Run:
    return Run(
        id=f"{name}{seed}",
        experiment_id="1",
        name=f"{name} seed={seed}",
        status="FINISHED",
        params={"seed": str(seed)},
        tags={},
        metrics={"best/f1": validation},
        artifact_uri="",
        started=0,
    )


def scored(label: str, hits: float, seeds: int, **given: Any) -> Scored:
    """Networks that find about this share of 100 landslide pixels on each tile, and call 10 others landslide."""
    random = np.random.default_rng(int(hits * 1000))
    found = np.clip((100 * (hits + random.normal(0, 0.02, (seeds, TILES)))).round(), 0, 100).astype(np.int64)
    counts = np.stack([found, np.full_like(found, 10), 100 - found, np.full_like(found, 890)], axis=-1)
    tile_id = [f"tile{number}" for number in range(TILES)]
    return Scored(
        label, [stored_run(label, seed) for seed in range(seeds)], **{"counts": counts, "tile_id": tile_id, **given}
    )


def report(*strata: Scored) -> CustodyReport:
    return CustodyReport("lr", strata, looks=1, notes=["U-Net: the setting of trial 3."])


def printed(shown: CustodyReport) -> str:
    file = io.StringIO()
    shown.terminal(Console(width=500, file=file))
    return file.getvalue()


def test_the_figures_are_mean_and_deviation_over_seeds_of_ratios_pooled_over_tiles() -> None:
    # Given
    unet = scored("U-Net", 0.8, 3)
    tp, fp, fn, _ = unet.counts.sum(1).T
    f1 = 2 * tp / (2 * tp + fp + fn)
    # When
    cells = [column.cells[0].text for column in report(unet).columns]
    # Then
    assert cells[:3] == ["U-Net", "3", f"{f1.mean():.4f} ± {f1.std(ddof=1):.4f}"]
    assert cells[-1] == "0.9000"


def test_settings_with_several_seeds_are_compared_as_settings() -> None:
    told = report(scored("U-Net", 0.9, 3), scored("FPN", 0.5, 3)).verdict
    assert told[0] == "These settings, trained again with any seed and tested on tiles like these:"
    assert told[1].startswith("U-Net has a higher F1 than FPN, by ")


def test_one_seed_allows_a_sentence_on_these_networks_alone_and_says_why() -> None:
    told = report(scored("U-Net", 0.9, 3), scored("FPN", 0.5, 1)).verdict
    assert told[0] == (
        "These trained networks, on tiles like these. Of the settings themselves nothing can be said: trained with one "
        "seed: FPN."
    )
    assert told[1].startswith("These networks of U-Net have a higher F1 than those of FPN")


def test_settings_that_were_scored_on_different_tiles_are_not_compared() -> None:
    other = scored("FPN", 0.5, 3, tile_id=[f"other{number}" for number in range(TILES)])
    assert report(scored("U-Net", 0.9, 3), other).verdict == [
        "Not compared: the settings were scored on different tiles."
    ]


def test_settings_that_saw_the_same_tiles_at_another_size_are_not_compared() -> None:
    unet = scored("U-Net", 0.9, 3)
    other = scored("FPN", 0.5, 3, counts=4 * unet.counts)
    assert report(unet, other).verdict == ["Not compared: the settings were scored on different tiles."]


def test_one_setting_alone_is_compared_with_nothing() -> None:
    assert report(scored("U-Net", 0.9, 3)).verdict == []


def test_a_number_that_is_undefined_is_a_dash_and_an_empty_field() -> None:
    # Given: two networks where there is no landslide, of which one calls nothing so, and the other 10 pixels of a tile
    nothing, alarms = (np.tile(np.array([0, wrong, 0, 1000 - wrong]), (2, TILES, 1)) for wrong in (0, 10))
    shown = report(scored("U-Net", 0.9, 2, counts=alarms), scored("FPN", 0.5, 2, counts=nothing))
    # When, then
    assert {column.heading: column.cells[1].text for column in shown.columns}["F1"] == MISSING
    assert shown.sentence.endswith(f"FPN {MISSING}.")
    assert "U-Net and FPN cannot be compared in F1, which is undefined for a run." in shown.verdict
    lines = list(csv.DictReader(io.StringIO(shown.csv())))
    assert [line["f1"] for line in lines if line["model"] == "FPN"] == ["", ""]
    assert all(math.isfinite(float(line["f1"])) for line in lines if line["model"] == "U-Net")


def test_the_file_has_a_line_for_each_network_with_its_pixels() -> None:
    unet = scored("U-Net", 0.9, 3)
    lines = list(csv.DictReader(io.StringIO(report(unet).csv())))
    assert [line["seed"] for line in lines] == ["0", "1", "2"]
    assert [int(line["TP"]) for line in lines] == unet.counts[..., 0].sum(1).tolist()
    assert {line["tiles"] for line in lines} == {str(TILES)}


def test_scores_that_are_gone_or_cut_off_are_told_with_the_cure(store: Store, tmp_path: Path) -> None:
    # Given
    run_id = store.score(0.8)
    strata = {"U-Net": [store.client.get_run(run_id)]}
    # When, then
    with pytest.raises(ComparisonError, match=r"test/best\.npz is missing.*--again"):
        report_test(store.client, "lr", strata, looks=1, notes=[])
    (tmp_path / "best.npz").write_bytes(b"PK half a file")
    store.client.log_artifact(run_id, str(tmp_path / "best.npz"), "test")
    with pytest.raises(ComparisonError, match=r"test/best\.npz cannot be read.*--again"):
        report_test(store.client, "lr", strata, looks=1, notes=[])


def test_what_makes_the_settings_unfair_to_compare_is_said(store: Store, tmp_path: Path) -> None:
    # Given
    unet, strata = scored("U-Net", 0.9, 1), {}
    np.savez(tmp_path / "best.npz", counts=unet.counts[0], tile_id=unet.tile_id)
    for label, device in (("U-Net", "a CPU, 2 threads"), ("FPN", "NVIDIA H100")):
        run_id = store.score(0.8, tags={"landslide.device": device})
        store.client.log_artifact(run_id, str(tmp_path / "best.npz"), "test")
        strata[label] = [store.client.get_run(run_id)]
    # When
    told = report_test(store.client, "lr", strata, looks=1, notes=["of trial 3"]).notes
    # Then
    devices = "a CPU, 2 threads (U-Net); NVIDIA H100 (FPN)"
    assert told[0] == f"The runs differ in device: times and images/s are not ranked. {devices}."
    assert told[1].endswith("the same seed does not give the same numbers again: FPN.")
    assert told[2:] == ["of trial 3"]


@pytest.mark.parametrize(("looks", "words"), [(1, "There has been one look"), (3, "There have been 3 looks")])
def test_what_is_shown_says_how_often_the_test_part_was_looked_at(looks: int, words: str) -> None:
    shown = CustodyReport("lr", [scored("U-Net", 0.9, 3)], looks=looks, notes=[])
    assert words in shown.markdown()
    assert words in printed(shown)


def test_the_notes_and_the_verdict_are_in_both_forms() -> None:
    shown = report(scored("U-Net", 0.9, 3), scored("FPN", 0.5, 3))
    for text in (shown.markdown(), printed(shown)):
        assert "U-Net: the setting of trial 3." in text
        assert "These settings, trained again with any seed" in text

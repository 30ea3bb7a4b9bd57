"""Landslides, atlas and sheets of runs in a real store: read where they were stored, left out where they were not."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from landslide.metrics import ratios
from landslide.report import Comparison, compare
from landslide.report.runs import EPOCHS
from landslide.report.sheet import pack_tiles
from landslide.training.landslides import measure_landslides
from tests.report.conftest import base_params, log_run, save_arrays, series, validation
from tests.report.test_page import Tags

TILES, SIDE = 12, 48
MARKED = "selected on these tiles"


class Stored(NamedTuple):
    client: MlflowClient
    experiment: str
    folder: Path
    runs: dict[tuple[str, str], str]
    """By architecture and seed, the run id."""

    def log(self, arch: str, seed: str, shift_px: int, tiles: str = "tile", **kept: bool) -> str:
        """A finished run whose prediction lies this far from the truth; what it keeps besides counts is ``kept``."""
        panel = prediction(shift_px, tiles)
        arrays = validation(panel)
        if kept.get("landslides", True):
            arrays |= measure_landslides(panel["masks"], panel["probability"])
        if kept.get("maps", True):
            arrays["probability"] = panel["probability"]
        counts = arrays["counts"].sum(axis=0)
        run_id = log_run(
            self.client,
            self.experiment,
            name=arch,
            params=base_params(arch) | {"seed": seed},
            tags={"landslide.kind": "run"},
            metrics=series(ratios(counts)),
            status="FINISHED",
        )
        for name in ("best", "last"):
            self.client.log_artifact(run_id, str(save_arrays(self.folder / f"{name}.npz", arrays)), "validation")
        if kept.get("maps", True):
            pack_tiles(self.folder / "tiles.zip", panel["images"], panel["masks"])
            self.client.log_artifact(run_id, str(self.folder / "tiles.zip"), "validation")
        return run_id


def prediction(shift_px: int, tiles: str) -> dict[str, np.ndarray[Any, Any]]:
    """Discs that grow from tile to tile, the last tile empty; predicted too far down by so many pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    radius = np.append(np.arange(3, 3 + TILES - 1), 0)[:, None, None]
    masks = ((rows - 20) ** 2 + (columns - 20) ** 2 < radius**2).astype(np.uint8)
    predicted = np.roll(masks, shift_px, axis=1)
    predicted[-1, :2, :2] = shift_px > 0
    grey = np.linspace(60, 200, TILES)[:, None, None, None]
    return {
        "images": np.broadcast_to(grey, (TILES, SIDE, SIDE, 3)).astype(np.uint8),
        "masks": masks,
        "probability": np.where(predicted > 0, 220, 30).astype(np.uint8),
        "tile_id": np.array([f"{tiles}_{at:02}" for at in range(TILES)]),
    }


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("details")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("details", artifact_location=(folder / "artifacts").as_uri())
    found = Stored(client, experiment, folder, {})
    for arch, seed, shift_px in (("unet", "0", 4), ("unet", "1", 6), ("fpn", "0", 8)):
        found.runs[arch, seed] = found.log(arch, seed, shift_px)
    return found


@pytest.fixture(scope="module")
def compared(stored: Stored) -> Comparison:
    return compare(stored.client, list(stored.runs.values()))


def test_every_part_is_there_and_named_by_stratum(compared: Comparison) -> None:
    details = compared.details
    assert [section.title for section in details.sections] == [
        "Landslide by landslide",
        "Landslides half found, by their size",
        "Tiles that every model misses",
        "Tiles that only one model gets right",
    ]
    assert [picture.name for picture in details.pictures] == ["tiles", "missed_tiles", "found_by_size", "agreement"]
    assert list(details.landslides) == list(details.panels) == ["U-Net", "FPN"]
    assert details.broken == []


def test_the_sheet_stands_in_place_of_the_tiles_that_were_chosen_by_area(compared: Comparison) -> None:
    names = [picture.name for picture in compared.pictures]
    assert names.count("tiles") == 1
    (sheet,) = (picture for picture in compared.pictures if picture.name == "tiles")
    rule = sheet.figure.legends[0].get_title().get_text()
    assert "10th, 50th and 90th percentile of F1" in " ".join(rule.split())
    assert len(sheet.figure.axes) == 3 * (2 + 2)  # tiles; image, truth and two models


def test_the_drawn_predictions_are_those_of_the_counts(stored: Stored, compared: Comparison) -> None:
    # Given: F1 of each tile of the first seed of U-Net, from its counts
    path = stored.client.download_artifacts(stored.runs["unet", "0"], "validation/best.npz")
    with np.load(path, allow_pickle=False) as arrays:
        f1 = dict(zip(arrays["tile_id"].tolist(), ratios(arrays["counts"])["f1"].tolist(), strict=True))
    # Then: under each drawn prediction stands that of its tile
    figure = compared.details.pictures[0].figure
    for row in range(3):
        tile, _, first, _ = (axis.get_xlabel() for axis in figure.axes[4 * row : 4 * row + 4])
        assert first == f"F1 {f1[tile]:.4f}"


def test_tables_reach_the_page_with_links_and_the_markdown(stored: Stored, compared: Comparison) -> None:
    page = Tags(compared.html())
    links = [link.get("href") or "" for link in page.named("a")]
    assert len([link for link in links if stored.runs["fpn", "0"] in link]) > len(compared.details.sections)
    for section in compared.details.sections:
        assert section.title in page.text
        assert section.caption in page.text
        assert f"**{section.title}**" in compared.markdown()


def test_every_caption_and_sentence_is_of_the_last_epoch_or_says_that_it_is_selected(stored: Stored) -> None:
    # Given: two seeds of two models, so that both questions have an answer; tiles as before there were sheets
    runs = [*stored.runs.values(), stored.log("fpn", "1", 9)]
    before = [stored.log(arch, "0", 4, maps=False) for arch in ("unet", "fpn")]
    for run_id in before:
        panel = {**prediction(4, "tile"), "rule": np.array("all of them")}
        path = save_arrays(stored.folder / "panel.npz", panel)
        stored.client.log_artifact(run_id, str(path), "validation")
    found = [compare(stored.client, runs), compare(stored.client, before), compare(stored.client, before[:1])]
    pictures = [picture for each in found for picture in each.pictures]
    # When
    texts = [text for each in found for text in (each.sentence, each.caption, each.caption_of_second)]
    texts += [part.caption for part in (*pictures, *(section for each in found for section in each.details.sections))]
    texts += [text for question in found[0].questions for text in (question.summary, *question.sentences)]
    texts += [text for question in found[0].questions for which in EPOCHS for text in question.said(which)]
    # Then: a threshold or a temperature is selected besides, and its mark is not the epoch's
    marked = [text for text in texts if MARKED in text.replace(f"{MARKED} too", "")]
    assert [text for text in texts if not text.startswith("At the last epoch: ") and text not in marked] == []
    assert {picture.name for picture in pictures} == {
        *("estimates", "tiles", "confusion_matrices", "precision_recall", "reliability", "loss_curves"),
        *("f1_against_time", "missed_tiles", "found_by_size", "agreement"),
    }
    assert len([section for each in found for section in each.details.sections]) >= 4
    assert all(question.sentences for question in found[0].questions)


def test_a_sentence_is_of_the_last_epoch_and_of_the_best_one_where_no_last_was_stored(stored: Stored) -> None:
    # Given
    runs = [*stored.runs.values(), stored.log("fpn", "1", 9)]
    networks, recipes = compare(stored.client, runs).questions
    without = replace(recipes, found={"best": recipes.found["best"]})
    # Then
    assert all(text.startswith("At the last epoch: ") for text in (*networks.sentences, *recipes.sentences))
    assert all(text.startswith(f"At the best epoch, {MARKED}: ") for text in without.sentences)


def test_csv_files_hold_every_run_and_every_tile(stored: Stored, compared: Comparison) -> None:
    runs = list(csv.DictReader(io.StringIO(compared.details.files["landslides.csv"])))
    assert {row["run_id"] for row in runs} == set(stored.runs.values())
    assert {row["false_alarms_image_non_landslide"] for row in runs} == {"1.0"}
    tiles = list(csv.DictReader(io.StringIO(compared.details.files["tiles.csv"])))
    assert len(tiles) == TILES - 1


def test_runs_of_before_have_an_atlas_and_nothing_that_they_did_not_store(stored: Stored) -> None:
    # Given: counts alone
    runs = [stored.log(arch, "0", 4, landslides=False, maps=False) for arch in ("linknet", "pspnet")]
    # When
    details = compare(stored.client, runs).details
    # Then
    assert details.landslides == details.panels == {}
    assert [picture.name for picture in details.pictures] == ["agreement"]
    assert details.atlas is not None


def test_a_run_without_maps_is_left_out_of_the_sheet_alone(stored: Stored) -> None:
    bare = stored.log("linknet", "0", 4, maps=False)
    details = compare(stored.client, [stored.runs["unet", "0"], bare]).details
    assert list(details.panels) == ["U-Net"]
    assert set(details.landslides) == {"U-Net", "LinkNet"}


def test_models_that_saw_other_tiles_share_no_atlas(stored: Stored) -> None:
    other = stored.log("linknet", "0", 4, tiles="other")
    details = compare(stored.client, [stored.runs["unet", "0"], other]).details
    assert details.atlas is None
    assert details.choices == []
    assert set(details.landslides) == {"U-Net", "LinkNet"}


def test_one_model_alone_has_a_sheet_and_no_agreement(stored: Stored) -> None:
    details = compare(stored.client, [stored.runs["unet", "0"]]).details
    assert [picture.name for picture in details.pictures] == ["tiles", "found_by_size"]
    assert [section.title for section in details.sections][-1] == "Landslides half found, by their size"


def test_pictures_that_are_cut_off_are_left_out_and_told(stored: Stored) -> None:
    # Given
    run_id = stored.log("linknet", "0", 4)
    cut = stored.folder / "tiles.zip"
    cut.write_bytes(cut.read_bytes()[:500])
    stored.client.log_artifact(run_id, str(cut), "validation")
    # When
    compared = compare(stored.client, [run_id])
    # Then
    assert "tiles" not in [picture.name for picture in compared.pictures]
    assert any("LinkNet: validation/tiles.zip cannot be read and is left out" in note for note in compared.notes)

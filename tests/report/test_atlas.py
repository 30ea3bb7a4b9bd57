"""The error atlas, against tiles whose F1 is known."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from landslide.report.atlas import Atlas, agreement_figure, make_atlas, make_picture, make_sections, to_csv
from landslide.report.table import MISSING

TILES = ("empty", "easy", "hard", "first only", "second only")


def counts(*f1: float) -> np.ndarray[Any, Any]:
    """``(1, 5, 4)``: an empty tile, and four of 100 px whose F1 is this, of 20 px of landslide and no false alarm.

    With TP = t and FN = 20 - t, F1 is 2 t / (t + 20).
    """
    hits = [round(20 * value / (2 - value)) for value in f1]
    return np.array([[(0, 3, 0, 97), *((hit, 0, 20 - hit, 80) for hit in hits)]], dtype=np.int64)


def an_atlas() -> Atlas:
    two_seeds = np.concatenate([counts(1.0, 0.0, 1.0, 0.0), counts(1.0, 0.0, 0.0, 0.0)])  # 0.5 on average is right
    atlas = make_atlas(TILES, {"U-Net": two_seeds, "FPN": counts(1.0, 2 / 5, 0.0, 1.0)})
    assert atlas is not None
    return atlas


def test_f1_of_a_tile_is_the_mean_over_seeds_and_empty_tiles_have_none() -> None:
    atlas = an_atlas()
    assert atlas.tile_id == TILES[1:]
    np.testing.assert_allclose(atlas.f1, [[1, 0, 0.5, 0], [1, 0.4, 0, 1]])
    np.testing.assert_allclose(atlas.landslide_share, 0.2)


def test_tiles_that_all_miss_and_that_only_one_gets_right() -> None:
    atlas = an_atlas()
    assert [atlas.tile_id[tile] for tile in atlas.missed_by_all] == ["hard"]
    assert [atlas.tile_id[tile] for tile in atlas.right_in_one] == ["first only", "second only"]


def test_the_hardest_tile_comes_first() -> None:
    atlas = make_atlas(TILES, {"a": counts(0.4, 0.0, 0.2, 1.0), "b": counts(0.4, 0.2, 0.4, 1.0)})
    assert atlas is not None
    assert [atlas.tile_id[tile] for tile in atlas.missed_by_all] == ["hard", "first only", "easy"]


def test_agreement_is_the_share_of_tiles_that_both_get_right_or_both_miss() -> None:
    np.testing.assert_allclose(an_atlas().agreement(), [[1, 0.5], [0.5, 1]])


def test_rank_correlation_is_spearmans() -> None:
    # Given: models with ties
    random = np.random.default_rng(0)
    f1 = random.integers(0, 8, (3, 40)) / 8
    atlas = Atlas(("a", "b", "c"), tuple(map(str, range(40))), np.full(40, 0.1), f1)
    # Then
    np.testing.assert_allclose(atlas.rank_correlation(), spearmanr(f1, axis=1).statistic)


def test_a_model_with_one_f1_on_all_tiles_has_no_rank_correlation() -> None:
    atlas = make_atlas(TILES, {"a": counts(0.0, 0.0, 0.0, 0.0), "b": counts(0.4, 0.2, 0.4, 1.0)})
    assert atlas is not None
    assert np.isnan(atlas.rank_correlation()[0, 1])
    figure = make_picture(atlas).figure
    assert [text.get_text() for text in figure.axes[0].texts] == [f"75%\n{MISSING}"] * 2


def test_one_tile_alone_has_no_rank_correlation() -> None:
    atlas = make_atlas(TILES[:2], {"a": counts(1.0), "b": counts(0.0)})
    assert atlas is not None
    assert np.isnan(atlas.rank_correlation()).tolist() == [[True, True], [True, True]]


def test_without_a_landslide_there_is_no_atlas() -> None:
    assert make_atlas(("empty",), {"a": counts()}) is None


def test_tables_name_the_tiles_and_mark_who_gets_them_right() -> None:
    missed, one = make_sections(an_atlas())
    assert [cell.text for cell in missed.columns[0].cells] == ["hard"]
    start = (
        "1 of 4 tiles, by the 2 models of the figures. A model gets a tile right where F1 of the tile is 0.5 or more"
    )
    assert missed.caption.startswith(start)
    assert [column.heading for column in one.columns] == ["Tile", "Landslide (%)", "F1, U-Net", "F1, FPN"]
    assert [(cell.text, cell.best) for cell in one.columns[2].cells] == [("0.500", True), ("0.000", False)]
    assert "| second only | 20.0 | 0.000 | **1.000** |" in one.markdown()


def test_where_models_never_fail_there_is_no_table() -> None:
    atlas = make_atlas(TILES, {"a": counts(1.0, 1.0, 1.0, 1.0), "b": counts(1.0, 1.0, 1.0, 1.0)})
    assert atlas is not None
    assert make_sections(atlas) == []


def test_the_picture_says_who_agrees_with_whom() -> None:
    assert make_picture(an_atlas()).description == "Share of tiles on which two models agree: U-Net and FPN 50%."


@pytest.mark.parametrize("models", [2, 8])
def test_the_matrix_holds_every_pair(models: int) -> None:
    share = np.full((models, models), 0.25)
    figure = agreement_figure([f"model {at}" for at in range(models)], share, share)
    assert [text.get_text() for text in figure.axes[0].texts].count("25%\n0.25") == models * (models - 1)


def test_csv_has_f1_of_every_tile_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(an_atlas()))))
    assert [row["tile_id"] for row in rows] == list(TILES[1:])
    assert [float(row["FPN"]) for row in rows] == pytest.approx([1, 0.4, 0, 1])

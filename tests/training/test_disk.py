"""The disk estimate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from landslide.errors import TrackingError
from landslide.models.cost import parameter_count
from landslide.models.segmenter import build_segmenter
from landslide.training.disk import require_disk, validation_mb, weights_mb
from tests.conftest import compose_run


class Usage(NamedTuple):
    free: float


def test_the_size_of_weights_is_that_of_the_built_network(tiny: list[str]) -> None:
    cfg = compose_run(*tiny)
    built = build_segmenter(
        arch={"name": "unet"},
        encoder_name="tu-test_resnet",
        encoder_weights=None,
        bands=["red", "green", "blue"],
        mean=[0.5] * 3,
        std=[0.5] * 3,
    )
    assert weights_mb(cfg) == pytest.approx(parameter_count(built) * 4 / 1e6)


def test_an_encoder_that_cannot_be_built_without_memory_has_a_size_too(tiny: list[str]) -> None:
    assert weights_mb(compose_run(*tiny, "arch=segformer", "encoder.name=mit_b0")) == pytest.approx(14.86, abs=0.01)


def test_an_average_of_the_weights_needs_a_third_more_of_each_checkpoint(tiny: list[str], tmp_path: Path) -> None:
    bare = [*tiny, "tracking.store_probability=false"]
    without, with_average = (
        require_disk([compose_run(*bare, *more)], tmp_path) for more in ([], ["regularization.ema=0.9"])
    )
    needed = [int(sentence.split("up to ")[1].split(" ")[0]) for sentence in (without, with_average)]
    assert needed[1] == pytest.approx(needed[0] * 4 / 3, rel=0.02)


@pytest.mark.parametrize(("keep", "kept"), [("all", 4), ("finalists", 2), ("none", 0)])
def test_what_is_kept_follows_keep_models(tiny: list[str], tmp_path: Path, keep: str, kept: int) -> None:
    configs = [
        compose_run(*tiny, f"arch={arch}", f"seed={seed}", f"tracking.keep_models={keep}")
        for arch in ("unet", "fpn")
        for seed in (0, 1)
    ]
    sizes = [weights_mb(cfg) for cfg in configs]
    expected = 4 * sum(sizes) * kept / 4  # a model and a checkpoint of three times its size
    assert f"{expected:.0f} MB kept" in require_disk(configs, tmp_path)


@pytest.mark.parametrize(("split", "tiles"), [("{train: 16, val: 8}", 8), ("{train: 0.5, val: 0.25}", 6)])
def test_maps_take_three_bytes_a_validation_pixel_where_they_are_kept(
    tiny: list[str], tmp_path: Path, split: str, tiles: int
) -> None:
    large = [*tiny, f"data.split={split}", "data.image_size=512"]
    kept, not_kept = (compose_run(*large, *more) for more in ([], ["tracking.store_probability=false"]))
    assert validation_mb(kept) == pytest.approx(tiles * 512 * 512 * 3 / 1e6)
    assert f"up to {validation_mb(kept):.0f} MB of maps in MLflow a run" in require_disk([kept], tmp_path)
    assert "maps" not in require_disk([not_kept], tmp_path)


def test_a_finalist_that_is_trained_again_with_other_seeds_keeps_a_model_for_each(
    tiny: list[str], tmp_path: Path
) -> None:
    cfg = compose_run(*tiny, "arch=unet")
    assert f"{(4 + 3) * weights_mb(cfg):.0f} MB kept" in require_disk([cfg], tmp_path, again=3)


def test_a_disk_that_is_too_small_is_refused_with_the_cure(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=1e6))
    with pytest.raises(TrackingError, match=r"1 MB are free.*keep_models=none"):
        require_disk([compose_run(*tiny)], tmp_path)

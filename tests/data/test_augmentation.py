"""Augmentation: image and mask stay together, every symmetry occurs, and the epoch decides what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from landslide.data.augmentation import Augmentation

SIDE = 12


def batch(number: int = 16, bands: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """uint8 image ``(N, C, H, W)`` in channels-last memory, as the data module gives it, and mask ``(N, H, W)``."""
    random = np.random.default_rng(seed)
    image = torch.from_numpy(random.integers(0, 256, (number, SIDE, SIDE, bands), dtype=np.uint8)).permute(0, 3, 1, 2)
    mask = torch.from_numpy((random.random((number, SIDE, SIDE)) < 0.3).astype(np.uint8))
    return image, mask


def started(strength: float = 1.0, seed: int = 0, epoch: int = 0) -> Augmentation:
    augmentation = Augmentation(strength, seed)
    augmentation.start_epoch(epoch)
    return augmentation


def two_values(number: int) -> tuple[Tensor, Tensor]:
    """A black left and a white right half, in every band."""
    image = torch.zeros(number, 3, SIDE, SIDE, dtype=torch.uint8)
    image[..., SIDE // 2 :] = 255
    return image, torch.zeros(number, SIDE, SIDE, dtype=torch.uint8)


# -------------------------------------------------------------------------------------------------------- symmetries
def test_image_and_mask_move_together() -> None:
    # Given: the mask is also painted into the green band
    image, mask = batch(64)
    image[:, 1] = mask * 200
    # When
    image, moved = started()(image, mask)
    # Then
    green = image[:, 1]
    middle = (green.amax((1, 2), keepdim=True) + green.amin((1, 2), keepdim=True)) / 2
    assert torch.equal((green > middle).to(torch.uint8), moved)
    assert not torch.equal(moved, mask)


def test_a_mask_keeps_its_values_and_its_area() -> None:
    image, mask = batch(64)
    _, moved = started()(image, mask)
    assert moved.dtype == torch.uint8
    assert moved.shape == mask.shape
    assert torch.equal(moved.sum((1, 2)), mask.sum((1, 2)))
    assert moved.unique().tolist() == [0, 1]


def test_all_eight_symmetries_of_the_square_occur_and_no_other() -> None:
    # Given: a tile without any symmetry of its own, many times
    tile = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 251
    image = torch.from_numpy(np.broadcast_to(tile, (400, 1, SIDE, SIDE)).astype(np.uint8).copy())
    mirrored = [tile, tile[::-1], tile[:, ::-1], tile[::-1, ::-1]]
    eight = {one.tobytes(): 0 for view in mirrored for one in (np.array(view), np.array(view.T))}
    assert len(eight) == 8
    # When: so weak that rounding takes brightness and contrast back
    turned, _ = started(strength=1e-6)(image, torch.zeros(400, SIDE, SIDE, dtype=torch.uint8))
    # Then
    for one in turned.round().to(torch.int64).numpy():
        eight[one[0].tobytes()] += 1
    assert sum(eight.values()) == 400
    assert min(eight.values()) > 25  # 50 each are expected, 25 is 3.8 standard deviations away
    assert len(eight) == 8


def test_tiles_of_a_batch_are_turned_each_for_itself() -> None:
    image, mask = batch(1)
    turned, _ = started()(image.repeat(32, 1, 1, 1), mask.repeat(32, 1, 1))
    assert len({one.numpy().tobytes() for one in turned}) > 8


# ------------------------------------------------------------------------------------------------ reproducible draws
def test_an_epoch_gives_the_same_whatever_was_drawn_before() -> None:
    # Given: one has run through two epochs, the other was interrupted and begins with the third
    image, mask = batch()
    long = Augmentation(1.0, seed=5)
    for epoch in (0, 1):
        long.start_epoch(epoch)
        for _ in range(epoch + 2):
            long(image, mask)
    torch.rand(100)  # and the global stream has moved
    # When
    long.start_epoch(2)
    short = started(seed=5, epoch=2)
    # Then
    for _ in range(3):
        for one, other in zip(long(image, mask), short(image, mask), strict=True):
            assert torch.equal(one, other)


def test_within_an_epoch_each_batch_is_drawn_anew() -> None:
    image, mask = batch()
    augmentation = started()
    first, _ = augmentation(image, mask)
    augmentation.start_epoch(0)  # the hook is called before every batch
    second, _ = augmentation(image, mask)
    assert not torch.equal(first, second)


def test_another_epoch_or_another_seed_draws_something_else() -> None:
    image, mask = batch()
    drawn = [started(seed=seed, epoch=epoch)(image, mask)[0] for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert len({one.numpy().tobytes() for one in drawn}) == 4


def test_the_global_stream_of_random_numbers_is_left_alone() -> None:
    image, mask = batch()
    torch.manual_seed(1)
    started()(image, mask)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))


# ------------------------------------------------------------------------------------------ strength, colour, memory
def test_strength_zero_changes_nothing_but_the_type() -> None:
    image, mask = batch()
    same, same_mask = started(strength=0)(image, mask)
    assert same.dtype == torch.float32
    assert torch.equal(same, image.float())
    assert torch.equal(same_mask, mask)


@pytest.mark.parametrize("strength", [0.25, 1.0, 2.0])
def test_brightness_and_contrast_change_by_at_most_a_fifth_at_strength_one(strength: float) -> None:
    # Given
    image, mask = two_values(500)
    # When
    changed, _ = started(strength=strength)(image, mask)
    # Then: read brightness and contrast back from the two values that each tile has
    high, low = changed.amax((1, 2, 3)), changed.amin((1, 2, 3))
    contrast = (high - low) / 255 - 1
    brightness = (high + low - 255) / 2 / 255
    for drawn in (contrast, brightness):
        assert drawn.abs().max() <= 0.2 * strength + 1e-5
        assert drawn.max() > 0.18 * strength
        assert drawn.min() < -0.18 * strength
        assert drawn.mean().abs() < 0.02 * strength
    assert np.corrcoef(contrast.numpy(), brightness.numpy())[0, 1] == pytest.approx(0, abs=0.2)


def test_a_tile_changes_its_brightness_as_a_whole() -> None:
    # Given
    image, mask = two_values(20)
    # When
    changed, _ = started()(image, mask)
    # Then: two values went in, two come out, the same in every band
    for tile in changed:
        assert len(tile.unique()) == 2
        assert torch.equal(tile[0], tile[1])
        assert torch.equal(tile[0], tile[2])
    assert len(changed.amax((1, 2, 3)).unique()) > 10


def test_the_tensors_that_went_in_are_left_as_they_were() -> None:
    image, mask = batch()
    before = image.clone(), mask.clone()
    started()(image, mask)
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


def test_without_augmentation_channels_last_memory_stays_channels_last() -> None:
    image, mask = batch()
    assert image.is_contiguous(memory_format=torch.channels_last)
    same, _ = started(strength=0)(image, mask)
    assert same.is_contiguous(memory_format=torch.channels_last)


def test_the_memory_format_of_the_batch_does_not_change_what_is_drawn() -> None:
    image, mask = batch()
    for one, other in zip(started()(image, mask), started()(image.contiguous(), mask), strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous(memory_format=torch.channels_last) or one.is_contiguous()


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_any_number_of_bands_is_augmented(bands: int) -> None:
    changed, moved = started()(*batch(bands=bands))
    assert changed.shape == (16, bands, SIDE, SIDE)
    assert changed.dtype == torch.float32
    assert moved.shape == (16, SIDE, SIDE)


def test_the_largest_seed_that_lightning_takes_can_be_used() -> None:
    image, mask = batch()
    changed, _ = started(seed=2**32 - 1, epoch=1000)(image, mask)
    assert changed.isfinite().all()

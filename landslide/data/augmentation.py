"""Augmentation of whole batches, image and mask together."""

from __future__ import annotations

import torch
from torch import Tensor

JITTER = 0.2
"""Change of brightness and contrast at strength 1."""


class Augmentation:
    """Random flips and quarter turns, and a change of brightness and contrast, tile by tile.

    What is drawn depends on the seed and the epoch alone, not on the device or on what was drawn before.

    Args:
        strength: 0 does nothing; from there on all eight symmetries of the square are equally likely, since from above
            no direction is special, and brightness and contrast change by up to ``0.2 * strength``.
        seed: of all draws.
    """

    def __init__(self, strength: float, seed: int) -> None:
        self.strength = strength
        self._seed = seed
        self._random = torch.Generator()
        self._epoch = -1

    def start_epoch(self, epoch: int) -> None:
        """Draw from now on what belongs to this epoch; within an epoch this does nothing."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._random.manual_seed(self._seed * 1_000_003 + epoch)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            image: uint8, ``(N, C, H, W)``, square.
            mask: uint8, ``(N, H, W)``.

        Returns:
            float32 image, still in 0 to 255 but not clipped to it, and uint8 mask, of the same shapes.
        """
        if self.strength == 0:
            return image.float(), mask
        symmetries = torch.randint(8, (len(image),), generator=self._random).tolist()
        drawn = (torch.rand(2, len(image), generator=self._random) * 2 - 1) * (JITTER * self.strength)
        brightness, contrast = drawn.tolist()
        turned, turned_mask = torch.empty_like(image, dtype=torch.float32), torch.empty_like(mask)
        # tile by tile: a turned view is read once and written once, five times faster than turning the batch
        for row, symmetry in enumerate(symmetries):
            # (image - 127.5) * (1 + contrast) + 127.5 + 255 * brightness
            shift = 255 * brightness[row] - 127.5 * contrast[row]
            torch.mul(_turn(image[row], symmetry), 1 + contrast[row], out=turned[row]).add_(shift)
            turned_mask[row] = _turn(mask[row], symmetry)
        return turned, turned_mask


def _turn(tile: Tensor, symmetry: int) -> Tensor:
    """One of the eight symmetries of the square.

    Args:
        tile: ``(..., H, W)``.
        symmetry: 0 to 7; 0 leaves the tile as it is.
    """
    if symmetry & 4:
        tile = tile.transpose(-2, -1)
    flipped = [dim for bit, dim in ((1, -2), (2, -1)) if symmetry & bit]
    return tile.flip(flipped) if flipped else tile

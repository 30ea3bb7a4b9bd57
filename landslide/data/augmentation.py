"""Augmentation of whole batches: image and mask are one tensor while they are turned, so they cannot part."""

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
        stacked = self._symmetry(torch.cat([image, mask.unsqueeze(1)], dim=1))  # (N, C + 1, H, W)
        image, mask = stacked[:, :-1], stacked[:, -1]
        return self._photometric(image), mask.contiguous()

    def _symmetry(self, stacked: Tensor) -> Tensor:
        drawn = torch.randint(8, (len(stacked),), generator=self._random)
        turned = torch.empty_like(stacked)
        for symmetry in set(drawn.tolist()):
            rows = (drawn == symmetry).nonzero().flatten().to(stacked.device)
            chosen = stacked[rows]
            if symmetry & 4:
                chosen = chosen.flip(-1)
            turned[rows] = chosen.rot90(symmetry & 3, dims=(-2, -1))
        return turned

    def _photometric(self, image: Tensor) -> Tensor:
        shape = (2, len(image), 1, 1, 1)
        drawn = (torch.rand(shape, generator=self._random) * 2 - 1) * (JITTER * self.strength)
        brightness, contrast = drawn.to(image.device)
        # (image - 127.5) * (1 + contrast) + 127.5 + 255 * brightness, as one multiply-add
        return torch.addcmul(255 * brightness - 127.5 * contrast, image.float(), 1 + contrast)

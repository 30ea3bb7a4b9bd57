"""What augmentation costs, as a share of a ResNet-50 training step on the same batch, in turn.

python benchmarks/augmentation.py
"""

from __future__ import annotations

import statistics
import time

import torch

from landslide.data.augmentation import Augmentation
from landslide.models.segmenter import build_segmenter

BATCH_SIZE, SIZE, ROUNDS = 16, 256, 6


def main() -> None:
    network = build_segmenter(
        arch={"name": "unet"},
        encoder_name="resnet50",
        encoder_weights=None,
        bands=["red", "green", "blue"],
        mean=[0.5] * 3,
        std=[0.5] * 3,
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    image = torch.randint(0, 256, (BATCH_SIZE, SIZE, SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    mask = torch.randint(0, 2, (BATCH_SIZE, SIZE, SIZE), dtype=torch.uint8)
    augmentation = Augmentation(1.0, seed=0)
    shares = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        turned, target = augmentation(image, mask)
        augmented = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(turned)
        torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), target.unsqueeze(1).float()).backward()
        optimizer.step()
        optimizer.zero_grad()
        shares.append((augmented - start) / (time.perf_counter() - augmented))
    print(f"augmentation: {100 * statistics.median(shares[1:]):.2f} % of a training step (U-Net, ResNet-50, bf16)")


if __name__ == "__main__":
    main()

"""What a network costs: parameters and floating-point operations."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(net: nn.Module) -> int:
    """Trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in net.parameters())


def forward_gflops(net: nn.Module, bands: int, image_size: int) -> float:
    """Billions of floating-point operations of one forward pass over one image.

    A multiply-add counts as two. Counted by torch's own counter: convolutions and matrix products, which are nearly
    all of it.
    """
    training = net.training
    device = next(net.parameters()).device
    image = torch.zeros(1, bands, image_size, image_size, device=device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.eval()(image)
    net.train(training)
    flops: int = counter.get_total_flops()
    return flops / 1e9

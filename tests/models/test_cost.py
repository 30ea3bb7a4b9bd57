"""Parameters and operations, counted by hand on networks that are small enough."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landslide.models.cost import forward_gflops, parameter_count
from landslide.models.segmenter import Segmenter


def test_operations_of_one_convolution_are_two_for_each_multiply_add() -> None:
    # Given: 3 x 3 from 3 bands to 8 channels over 32 x 32 pixels
    net = nn.Conv2d(3, 8, kernel_size=3, padding=1)
    # Then
    assert forward_gflops(net, bands=3, image_size=32) == pytest.approx(2 * (3 * 3 * 3) * 8 * 32 * 32 / 1e9)


@pytest.mark.parametrize(("stride", "side"), [(1, 64), (2, 32), (4, 16)])
def test_a_stride_saves_operations(stride: int, side: int) -> None:
    net = nn.Conv2d(1, 4, kernel_size=5, padding=2, stride=stride)
    assert forward_gflops(net, bands=1, image_size=64) == pytest.approx(2 * 25 * 4 * side * side / 1e9)


def test_operations_of_layers_add_up_and_normalisation_is_free() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))
    assert forward_gflops(net, bands=2, image_size=10) == pytest.approx(2 * (2 * 4 + 4 * 1) * 100 / 1e9)
    plain = nn.Conv2d(2, 1, 1)
    assert forward_gflops(Segmenter(plain, [0.5] * 2, [0.5] * 2), 2, 10) == forward_gflops(plain, 2, 10)


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_network_as_it_was(training: bool) -> None:
    # Given: running statistics that a forward pass in training would move
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    # When
    forward_gflops(net, bands=3, image_size=8)
    # Then
    assert net.training is training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_parameters_are_counted_frozen_or_not_and_buffers_are_not() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    net[0].requires_grad_(False)
    assert parameter_count(net) == 3 * 8 * 9 + 8 + 2 * 8

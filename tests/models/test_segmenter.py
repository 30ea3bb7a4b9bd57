"""The network: raw pixels in, logits of the same size out, and arguments that are understood or refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from landslide.errors import ConfigError, WeightsError
from landslide.models.segmenter import (
    Segmenter,
    build_segmenter,
    pixel_statistics,
    require_fitting_size,
    require_trainable,
)

FOUR = ["unet", "linknet", "pspnet", "fpn"]
TINY = "tu-test_resnet"


def built(arch: str = "unet", *, dropout: float | None = None, bands: int = 3, **arguments: Any) -> Segmenter:
    torch.manual_seed(0)
    encoder = {"encoder_name": TINY, "encoder_weights": None}
    encoder |= {key: arguments.pop(key) for key in list(arguments) if key in encoder}
    return build_segmenter(
        arch={"name": arch, **arguments},
        bands=["red", "green", "blue", "dem", "nir"][:bands],
        mean=[0.5] * bands,
        std=[0.25] * bands,
        dropout=dropout,
        **encoder,
    )


def refusal(arch: str = "unet", **arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        built(arch, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def image(side: int = 32, bands: int = 3, number: int = 2) -> torch.Tensor:
    """uint8, ``(N, C, H, W)``."""
    pixels = np.random.default_rng(0).integers(0, 256, (number, bands, side, side), dtype=np.uint8)
    return torch.from_numpy(pixels)


def rates(segmenter: Segmenter) -> list[float]:
    """Of every dropout layer outside the encoder."""
    network: Any = segmenter.net
    inside = {id(module) for module in network.encoder.modules()}
    kinds = (nn.Dropout, nn.Dropout2d)
    return [module.p for module in network.modules() if isinstance(module, kinds) and id(module) not in inside]


# ------------------------------------------------------------------------------------------------------------- logits
@pytest.mark.parametrize("arch", FOUR)
@pytest.mark.parametrize("side", [32, 64, 96])
def test_logits_have_the_size_of_the_image_and_one_channel(arch: str, side: int) -> None:
    logits = built(arch).eval()(image(side))
    assert logits.shape == (2, 1, side, side)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_any_number_of_bands_goes_in(bands: int) -> None:
    assert built("fpn", bands=bands).eval()(image(bands=bands)).shape == (2, 1, 32, 32)


def test_logits_are_not_squeezed_into_probabilities() -> None:
    # Given: a head that answers with a large number
    segmenter = built("unet").eval()
    network: Any = segmenter.net
    nn.init.constant_(network.segmentation_head[0].bias, 50.0)
    # Then
    assert segmenter(image()).mean() > 10


@pytest.mark.parametrize("arch", FOUR)
def test_whole_numbers_and_floating_ones_give_the_same_logits(arch: str) -> None:
    segmenter = built(arch).eval()
    with torch.no_grad():
        assert torch.equal(segmenter(image()), segmenter(image().float()))


def test_pixels_are_normalised_band_by_band() -> None:
    # Given: a network that does nothing
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.25, 0.5]
    # When
    found = Segmenter(nn.Identity(), *(255 * np.array([mean, std])).tolist())(image())
    # Then
    share = image().numpy().transpose(0, 2, 3, 1) / 255
    expected = ((share - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)
    assert found.numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_pixels_of_every_type_are_normalised_in_their_own_units(dtype: torch.dtype) -> None:
    pixels = torch.tensor([0, 100, 200]).view(1, 1, 1, 3).to(dtype)
    found = Segmenter(nn.Identity(), [100.0], [50.0])(pixels)
    assert found.dtype == torch.float32
    assert found.flatten().tolist() == [-2, 0, 2]


def statistics(bands: list[str], scale: list[float], **encoder: Any) -> tuple[list[float], list[float]]:
    """What a network subtracts and divides by where every band measured 0.4 and 0.2 of its full scale."""
    given = {"name": "resnet18", "weights": None, "mean": None, "std": None} | encoder
    measured = [0.4] * len(bands), [0.2] * len(bands)
    return pixel_statistics(OmegaConf.create(given), bands, scale, measured)


def test_weights_prescribe_the_statistics_of_eight_bit_colours_alone() -> None:
    # Given: the ImageNet numbers, in 0 to 255; and measured ones for all other bands
    mean, std = statistics(["blue", "dem", "red"], [255.0, 1.0, 255.0], weights="imagenet")
    assert mean == pytest.approx([0.406 * 255, 0.4, 0.485 * 255])
    assert std == pytest.approx([0.225 * 255, 0.2, 0.229 * 255])
    # When: the same colours in 16 bits
    mean, std = statistics(["blue", "red"], [65535.0, 65535.0], weights="imagenet")
    # Then
    assert (mean, std) == (pytest.approx([0.4 * 65535] * 2), pytest.approx([0.2 * 65535] * 2))


def test_statistics_are_measured_without_weights_and_given_as_shares_of_the_full_scale() -> None:
    assert statistics(["red"], [255.0]) == (pytest.approx([102]), pytest.approx([51]))
    assert statistics(["red"], [255.0], mean=[0.5], weights="imagenet") == (
        pytest.approx([127.5]),
        pytest.approx([0.229 * 255]),
    )
    assert statistics(["nir"], [65535.0], std=[0.1]) == (pytest.approx([26214]), pytest.approx([6553.5]))


def test_normalisation_travels_with_the_weights() -> None:
    # Given: two segmenters of other statistics
    one, other = Segmenter(nn.Identity(), [0.1], [0.2]), Segmenter(nn.Identity(), [0.6], [0.7])
    # When
    other.load_state_dict(one.state_dict())
    # Then
    assert torch.equal(one(image(bands=1)), other(image(bands=1)))


def test_the_same_seed_builds_the_same_network() -> None:
    one, other = built("linknet").state_dict(), built("linknet").state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


# ------------------------------------------------------------------------------------------------------------ dropout
@pytest.mark.parametrize(("arch", "own"), [("unet", []), ("linknet", []), ("pspnet", [0.2]), ("fpn", [0.2])])
def test_no_number_keeps_the_dropout_of_the_architecture(arch: str, own: list[float]) -> None:
    assert rates(built(arch)) == own


@pytest.mark.parametrize("arch", FOUR)
@pytest.mark.parametrize("dropout", [0.0, 0.35])
def test_a_number_is_the_one_dropout_of_the_decoder(arch: str, dropout: float) -> None:
    assert rates(built(arch, dropout=dropout)) == [dropout]


@pytest.mark.parametrize("arch", FOUR)
def test_dropout_drops_in_training_only(arch: str) -> None:
    # Given: batch norm in evaluation, so that only dropout can differ
    segmenter = built(arch, dropout=0.5).eval()
    # Then
    with torch.no_grad():
        assert torch.equal(segmenter(image()), segmenter(image()))
        for module in segmenter.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.train()
        assert not torch.equal(segmenter(image()), segmenter(image()))


def test_dropout_adds_no_weights() -> None:
    with_dropout, without = built("unet", dropout=0.5), built("unet")
    assert sum(p.numel() for p in with_dropout.parameters()) == sum(p.numel() for p in without.parameters())


def test_an_architecture_with_dropout_in_its_pyramid_gets_no_second_one() -> None:
    assert rates(built("deeplabv3plus", dropout=0.1, encoder_name="resnet18")) == [0.1]


# ---------------------------------------------------------------------------------------------------------- arguments
def test_an_argument_of_the_architecture_is_passed_on() -> None:
    narrow, wide = built("unet", decoder_channels=[32, 16, 8, 8, 4]), built("unet")
    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in wide.parameters())


@pytest.mark.parametrize(
    ("arch", "argument", "near"),
    [
        ("unet", "decoder_chanels", "decoder_channels"),
        ("pspnet", "psp_drop", "psp_dropout"),
        ("fpn", "decoder_droput", "decoder_dropout"),
        ("linknet", "encoder_dept", "encoder_depth"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest_and_all_others(arch: str, argument: str, near: str) -> None:
    message = refusal(arch, **{argument: 1})
    assert message.startswith(f"arch.{argument}: {arch} has no such argument")
    assert f"Did you mean '{near}'?" in message
    assert "encoder_depth" in message


def test_an_argument_that_the_library_would_swallow_is_refused() -> None:
    # Given: smp builds an FPN with it, and does nothing with it
    assert "arch.decoder_use_norm: fpn has no such argument" in refusal("fpn", decoder_use_norm=False)


@pytest.mark.parametrize("argument", ["classes", "in_channels", "activation", "aux_params"])
def test_an_argument_that_is_decided_here_is_refused(argument: str) -> None:
    assert refusal("unet", **{argument: 2}).startswith(f"arch.{argument}")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"decoder_channels": [1, 2]}, "decoder_channels"),
        ({"encoder_depth": 9}, "depth"),
    ],
)
def test_a_value_that_the_architecture_refuses_is_the_users_to_mend(arguments: dict[str, Any], named: str) -> None:
    message = refusal("unet", **arguments)
    assert message.startswith("arch")
    assert named in message


def test_an_unknown_architecture_is_refused_with_the_nearest() -> None:
    message = refusal("unett")
    assert message.startswith("arch.name=unett: not one of unet, ")
    assert message.endswith("Did you mean 'unet'?")


@pytest.mark.parametrize(("encoder", "near"), [("resnt18", "resnet18"), ("resnet-50", "resnet50")])
def test_an_unknown_encoder_is_refused_with_the_nearest(encoder: str, near: str) -> None:
    assert refusal(encoder_name=encoder) == f"encoder.name={encoder}: no such encoder. Did you mean '{near}'?"


def test_an_unknown_encoder_of_timm_is_refused_with_the_nearest_of_timm() -> None:
    message = refusal(encoder_name="tu-tset_resnet")
    assert message.startswith("encoder.name=tu-tset_resnet: no such encoder.")
    assert "Did you mean 'tu-test_resnet'?" in message


def test_an_encoder_that_has_no_feature_maps_to_decode_is_the_users_to_mend() -> None:
    assert "encoder.name=tu-test_vit" in refusal(encoder_name="tu-test_vit")


@pytest.mark.parametrize("encoder", ["tu-cspresnet50d", "dpn68b"])
def test_an_encoder_without_imagenet_weights_is_refused_with_the_other_ways(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: neither timm nor the library has such weights, so no hub is asked
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with warnings.catch_warnings(), pytest.raises(WeightsError) as caught:
        warnings.simplefilter("ignore")  # smp warns that timm takes any word for "pretrained"
        built("fpn", encoder_name=encoder, encoder_weights="imagenet")
    assert encoder in str(caught.value)
    assert "encoder.weights=null" in str(caught.value)


# --------------------------------------------------------------------------------------------------------------- size
@pytest.mark.parametrize(
    ("arch", "size", "stride", "near"),
    [
        ("linknet", 100, 32, 96),
        ("fpn", 250, 32, 256),
        ("fpn", 10, 32, 32),
        ("pspnet", 100, 8, 96),
        ("pspnet", 255, 8, 256),
    ],
)
def test_a_size_that_cannot_be_halved_often_enough_is_refused_with_the_nearest(
    arch: str, size: int, stride: int, near: int
) -> None:
    # Given
    segmenter = built(arch).eval()
    # When
    with pytest.raises(ConfigError) as caught:
        require_fitting_size(segmenter.net, size)
    # Then
    expected = f"data.image_size={size}: this network needs a multiple of {stride}, for example {near}."
    assert str(caught.value) == expected
    with pytest.raises(RuntimeError), torch.no_grad():  # and it could not have trained
        segmenter(image(size))
    require_fitting_size(segmenter.net, near)
    assert segmenter(image(near)).shape[-2:] == (near, near)


@pytest.mark.parametrize("size", [33, 50, 100])
def test_a_unet_takes_any_size(size: int) -> None:
    segmenter = built("unet").eval()
    require_fitting_size(segmenter.net, size)
    assert segmenter(image(size)).shape == (2, 1, size, size)


# ---------------------------------------------------------------------------------------------------------- training
def unfit(arch: str, size: int, batch: int, **arguments: Any) -> str:
    segmenter = built(arch, **arguments)
    with pytest.raises(ConfigError) as caught:
        require_trainable(segmenter.net, 3, size, batch)
    return str(caught.value)


def trains(arch: str, size: int, batch: int, **arguments: Any) -> bool:
    logits = built(arch, **arguments).train()(image(size, number=batch))
    logits.mean().backward()
    return logits.shape == (batch, 1, size, size)


@pytest.mark.parametrize("arch", ["deeplabv3", "deeplabv3plus", "upernet"])
def test_a_batch_of_one_that_a_norm_cannot_take_is_refused(arch: str) -> None:
    # Given
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        trains(arch, 64, 1)
    # Then
    message = unfit(arch, 64, 1)
    assert message.startswith("data.batch_size=1: with tiles of 64 px")
    assert "data.batch_size=2 or more" in message
    assert trains(arch, 64, 2)
    require_trainable(built(arch).net, 3, 64, 2)


@pytest.mark.parametrize("arch", FOUR)
def test_a_batch_of_one_is_refused_only_where_it_could_not_be_trained(arch: str) -> None:
    require_trainable(built(arch).net, 3, 64, 1)
    assert trains(arch, 64, 1)


def test_a_size_of_which_pools_leave_nothing_is_refused_with_the_nearest_that_fits() -> None:
    assert unfit("pan", 64, 8).endswith("The nearest that fits is 128.")
    assert trains("pan", 128, 2)
    require_trainable(built("pan").net, 3, 128, 8)


@pytest.mark.parametrize(
    ("arch", "depth", "right"), [("pspnet", 1, 2), ("pspnet", 4, 16), ("pspnet", 5, 32), ("fpn", 3, 1)]
)
def test_a_depth_that_gives_a_map_of_another_size_is_refused_with_the_upsampling_that_fits(
    arch: str, depth: int, right: int
) -> None:
    # Given
    with pytest.raises(AssertionError):
        trains(arch, 64, 2, encoder_depth=depth)
    # Then
    assert unfit(arch, 64, 2, encoder_depth=depth).endswith(f"Give arch.upsampling={right}.")
    assert trains(arch, 64, 2, encoder_depth=depth, upsampling=right)


def test_a_transformer_of_a_fixed_size_is_refused_with_its_own_size() -> None:
    fixed = {"encoder_name": "tu-test_vit", "dynamic_img_size": False}
    assert unfit("dpt", 64, 2, **fixed).endswith("The nearest that fits is 160.")
    require_trainable(built("dpt", encoder_name="tu-test_vit", dynamic_img_size=True).net, 3, 64, 2)


@pytest.mark.parametrize("encoder", ["resnet18", TINY])
def test_an_encoder_that_is_no_transformer_is_refused_under_dpt_with_one_that_is(encoder: str) -> None:
    message = refusal("dpt", encoder_name=encoder, dynamic_img_size=True)
    assert message.startswith(f"arch, with encoder.name={encoder}: ")
    assert message.endswith("such as encoder.name=tu-vit_small_patch16_224.")


def test_trying_a_batch_leaves_the_network_and_chance_as_they_were() -> None:
    # Given
    segmenter = built("deeplabv3plus", dropout=0.5)
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    state = torch.get_rng_state()
    # When
    require_trainable(segmenter.net, 3, 64, 2)
    # Then
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)

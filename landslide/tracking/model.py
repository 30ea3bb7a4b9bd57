"""The best model as an MLflow model that is loaded from safetensors, without unpickling anything."""

from __future__ import annotations

import hashlib
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.entities import LoggedModel, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from safetensors.torch import load, save_file
from torch import Tensor

import landslide
from landslide.errors import WeightsError
from landslide.tracking.store import Store

if TYPE_CHECKING:
    from landslide.models.segmenter import Segmenter

REQUIREMENTS = ("torch", "segmentation-models-pytorch", "timm", "safetensors", "numpy")

MODEL = "model"
"""Folder of an exported model, in the folder of its run."""

WEIGHTS_TAG = "landslide.weights"
"""Of a logged model: SHA-256 of its weights, by which one that was begun is known again."""


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

    The package's own code travels with it, so that it predicts where landslide is not installed. What was begun and cut
    short, by a lost server or a kill, is finished; what is there already stays one model.
    """
    spec = json.loads((folder / "segmenter.json").read_text(encoding="utf-8"))
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(spec["dtype"]), (-1, -1, -1, len(spec["bands"])))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1, -1))]),
    )
    mlflow.set_tracking_uri(store.uri)
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    model = _begun(store, run_id, digest)
    if model.status != LoggedModelStatus.READY:
        _log(folder, signature, run_id, model.model_id)


def _begun(store: Store, run_id: str, digest: str) -> LoggedModel:
    """The run's logged model of these weights, perhaps not yet whole; made where there is none."""
    run = store.client.get_run(run_id)
    experiment = run.info.experiment_id
    for model in store.client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'"):
        if model.tags.get(WEIGHTS_TAG) == digest:
            return model
    return store.client.create_logged_model(
        experiment, name=MODEL, source_run_id=run_id, tags={WEIGHTS_TAG: digest}, params=run.data.params
    )


def find_model(store: Store, run: Run) -> LoggedModel | None:
    """The newest whole model of a run, None where it has none; a run that was prolonged may have several."""
    found = store.client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    whole = [model for model in found if model.status == LoggedModelStatus.READY and WEIGHTS_TAG in model.tags]
    return max(whole, key=lambda model: model.creation_timestamp, default=None)


def load_model(store: Store, model: LoggedModel) -> Segmenter:
    """A logged model as a network in evaluation, without running the code that was logged with it.

    Raises:
        WeightsError: where its files are gone, or are not those that were logged.
    """
    from landslide.models.segmenter import build_segmenter

    mlflow.set_tracking_uri(store.uri)
    with TemporaryDirectory() as scratch:
        try:
            folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=scratch))
            weights = (folder / "artifacts" / "weights.safetensors").read_bytes()
            spec = json.loads((folder / "artifacts" / "segmenter.json").read_text(encoding="utf-8"))
            spec.pop("dtype")
        except (MlflowException, OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{_place(model)}: cannot be read ({str(error).splitlines()[0]}).") from error
    if hashlib.sha256(weights).hexdigest() != model.tags[WEIGHTS_TAG]:
        raise WeightsError(f"{_place(model)}: its weights are not those that were logged.")
    segmenter = build_segmenter(encoder_weights=None, **spec)
    segmenter.load_state_dict(load(weights))
    return segmenter.eval()


def _place(model: LoggedModel) -> str:
    return f"model {model.model_id} of run {model.source_run_id}"


def _log(folder: Path, signature: ModelSignature, run_id: str, model_id: str) -> None:
    with warnings.catch_warnings():
        # an example would put an image of the user's dataset into every model
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        Model.log(  # what pyfunc.log_model calls; it takes a run that is not the active one, and leaves its status
            artifact_path=None,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            model_id=model_id,
            python_model=str(Path(__file__).with_name("pyfunc_segmenter.py")),
            artifacts={name: str(folder / name) for name in ("weights.safetensors", "segmenter.json")},
            code_paths=[str(Path(landslide.__file__).parent)],
            signature=signature,
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS],
        )

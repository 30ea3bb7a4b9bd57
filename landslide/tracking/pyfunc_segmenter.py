"""An MLflow model from code: this file is logged with the weights and run when the model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np


class SegmenterModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Landslide probability of images."""

    def load_context(self, context: Any) -> None:
        """Rebuild the network and fill it from safetensors."""
        from safetensors.torch import load_file

        from landslide.models.segmenter import build_segmenter

        spec = json.loads(Path(context.artifacts["segmenter.json"]).read_text(encoding="utf-8"))
        spec.pop("dtype")
        self.segmenter = build_segmenter(encoder_weights=None, **spec)
        self.segmenter.load_state_dict(load_file(context.artifacts["weights.safetensors"]))
        self.segmenter.eval()

    # a bare ndarray: MLflow reads any other type hint of model_input as a schema of rows
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """Probability of landslide for each pixel.

        Args:
            context: unused; MLflow passes it.
            model_input: ``(N, H, W, C)``, of the type and with the bands, in their order, that ``segmenter.json`` and
                the signature name; in the units of the files that the model was trained with (8-bit bands 0 to 255
                also where the type is float32; ``dem`` of the Bijie layout in metres above the mean of the tile).
            params: unused.

        Returns:
            float32, ``(N, H, W)``, in [0, 1].
        """
        import torch

        image = torch.from_numpy(np.ascontiguousarray(model_input)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            logits = self.segmenter(image)  # (N, 1, H, W)
        return torch.sigmoid(logits).squeeze(1).float().numpy()


mlflow.models.set_model(SegmenterModel())

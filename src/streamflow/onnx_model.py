"""Load a version's ONNX model for MLflow's clients: probabilities from a frame of raw features.

Training copies this file and the encoder into each version, where MLflow imports them in place of StreamFlow. So both
import nothing but each other, NumPy, pandas and ONNX Runtime.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .encoding import Encoder

PROBABILITY = "probability"
"""Column of the answer: the probability of the positive class."""


class OnnxModel:
    """What `mlflow.pyfunc.load_model` returns predicts with this.

    Args:
        folder: Folder of the version's files.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
        self._features: list[Any] = [SimpleNamespace(**feature) for feature in contract["features"]]
        self._encoder = Encoder(self._features)
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """Return a frame with the probability of the positive class, a row for each row of raw features.

        Args:
            model_input: Frame with a column for each feature; others are ignored.
            params: Unused. MLflow passes it.

        Raises:
            ValueError: A value is null that must not be, or a category that the model does not know.
        """
        import pandas as pd

        columns = [self._column(model_input[feature.name], feature) for feature in self._features]
        matrix, unknown = self._encoder.encode_columns(columns)
        if unknown.any():
            raise ValueError(f"{unknown.sum()} rows have a category that the model does not know.")
        name = self._session.get_inputs()[0].name
        found = self._session.run(None, {name: matrix})[1][:, 1]
        return pd.DataFrame({PROBABILITY: found.astype(np.float64)}, index=model_input.index)

    @staticmethod
    def _column(values: Any, feature: Any) -> Any:
        if not feature.nullable and values.isna().any():
            raise ValueError(f"{feature.name} is null in {values.isna().sum()} rows.")
        if feature.type == "string":
            return values.to_numpy(dtype=object)
        return values.astype("float64").to_numpy()


def _load_pyfunc(path: str) -> OnnxModel:
    """Load the model; MLflow calls it.

    Args:
        path: Folder of the version's files.
    """
    return OnnxModel(Path(path))

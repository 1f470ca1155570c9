"""Encode rows of a training set when a classifier takes them, so that no encoded matrix outlives a fit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from streamflow.encoding import Encoder
from streamflow.model_version.contract import Feature
from streamflow.training import forest_onnx

ROUND = "round"
"""Name of the step of a pipeline that rounds to single precision; the one after it widens again."""

_SOME = 1000
"""Rows that the steps before a classifier are fitted on: they learn nothing from rows."""

Positions = npt.NDArray[np.int64]


class Rows:
    """Rows of raw features, which become the matrix that the steps before a classifier would give, to the last bit.

    Those steps make an object of each number on the way, which takes forty times the memory.

    Args:
        features: Schema of the features.
        x: Raw features.
        at: Positions of the rows in `x`.
        part_rows: Number of rows that are encoded at a time.

    Attributes:
        at: The same.
    """

    def __init__(
        self, features: Sequence[Feature], x: pd.DataFrame, at: Positions, *, part_rows: int = 65_536
    ) -> None:
        self.at, self._x, self._part_rows = at, x, part_rows
        self._columns = [x[feature.name].to_numpy() for feature in features]
        self._encoder = Encoder(features)

    def fit_encoding(self, pipeline: Pipeline) -> None:
        """Fit the steps before the classifier of a pipeline."""
        pipeline[:-1].fit(self._x.iloc[self.at[:_SOME]])

    def fit(self, pipeline: Pipeline, y: npt.NDArray[np.bool_]) -> float:
        """Fit a pipeline to the rows and their labels, and return the seconds that it took."""
        started = time.perf_counter()
        self.fit_encoding(pipeline)
        fit_on(pipeline[-1], self.matrix(pipeline), y)
        return time.perf_counter() - started

    def matrix(self, pipeline: Pipeline, which: Positions | None = None) -> npt.NDArray[Any]:
        """Encode rows for the classifier of a pipeline whose other steps are fitted.

        Args:
            pipeline: The pipeline.
            which: Positions among the rows; None takes all.

        Returns:
            A new matrix. It is in single precision for trees that would round it themselves.
        """
        at = self.at if which is None else self.at[which]
        kind = np.float32 if _rounds_itself(pipeline[-1]) else np.float64
        single = kind is np.float32 or ROUND in pipeline.named_steps
        matrix = np.empty((len(at), self._encoder.width), dtype=kind)
        for start in range(0, len(at), self._part_rows):
            part = slice(start, start + self._part_rows)
            matrix[part] = self._single(pipeline, at[part]) if single else self._double(pipeline, at[part])
        return matrix

    def _single(self, pipeline: Pipeline, at: Positions) -> npt.NDArray[np.float32]:
        matrix, unknown = self._encoder.encode_columns([column[at] for column in self._columns])
        if unknown.any():
            # Its error names the category.
            self._double(pipeline, at)
        return matrix

    def _double(self, pipeline: Pipeline, at: Positions) -> Any:
        return pipeline[:-1].transform(self._x.iloc[at])


def _rounds_itself(classifier: Any) -> bool:
    return forest_onnx.takes(classifier) or isinstance(
        classifier, DecisionTreeClassifier | GradientBoostingClassifier
    )


def fit_on(classifier: Any, matrix: npt.NDArray[Any], y: npt.NDArray[np.bool_]) -> None:
    """Fit a classifier on a matrix that nobody else needs.

    One that begins by standardising its input does so in place.
    """
    first: Any = classifier[0] if isinstance(classifier, Pipeline) else None
    if type(first) is not StandardScaler or not (first.with_mean and first.with_std and first.copy):
        classifier.fit(matrix, y)
        return
    standardise(first, matrix)
    classifier[1:].fit(matrix, y)


def standardise(scaler: StandardScaler, matrix: npt.NDArray[Any]) -> None:
    """Fit a scaler to a matrix, to the same bits as its own `fit`, and transform the matrix in place.

    The scaler makes copies of what it is fitted to, so it sees two columns at a time, or the last three. NumPy would add
    up the rows of a single column in another order.
    """
    width = matrix.shape[1]
    cuts = [*range(0, max(width - 1, 1), 2), width]
    parts = [clone(scaler).fit(matrix[:, one:other]) for one, other in pairwise(cuts)]
    for name in ("mean_", "var_", "scale_"):
        setattr(scaler, name, np.concatenate([getattr(part, name) for part in parts]))
    scaler.n_samples_seen_, scaler.n_features_in_ = parts[0].n_samples_seen_, width
    scaler.set_params(copy=False)
    try:
        scaler.transform(matrix)
    finally:
        scaler.set_params(copy=True)

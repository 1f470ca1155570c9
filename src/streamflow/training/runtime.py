"""The served form of a classifier: ONNX, checked row by row against the estimator it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from streamflow import types
from streamflow.encoding import Encoder
from streamflow.errors import StreamFlowError
from streamflow.model_version.contract import Feature
from streamflow.training import forest_onnx, linear_onnx

TOLERANCE = 1e-6
"""Largest difference allowed between the estimator's probability and the served one."""

OPSET = 18
_ROWS_ALONE = 256


@dataclass(frozen=True)
class Runtime:
    """A classifier as ONNX.

    Attributes:
        model: The serialised ONNX model; input `X` of shape (n, width), second output probabilities (n, 2).
        name: Runtime it was checked with.
        version: Its version.
        rows: Rows it was checked on.
        largest_difference: Largest absolute difference to the estimator's probability over those rows.
    """

    model: bytes
    name: str
    version: str
    rows: int
    largest_difference: float


def compile_classifier(pipeline: Pipeline, features: Sequence[Feature], x: pd.DataFrame) -> Runtime:
    """Convert the pipeline's classifier and check it on every row.

    The encoder is not converted: `streamflow.encoding` does its work in the predict service, so that absent
    values are encoded before ONNX sees them (a plain conversion of the pipeline gets those wrong).

    Args:
        x: n rows of raw features; all of the training set.

    Raises:
        StreamFlowError: the served probabilities differ from the estimator's by more than the tolerance.
    """
    import onnxruntime
    from skl2onnx import to_onnx

    rows = raw_rows(features, x)
    matrix = Encoder(features).encode(rows)
    model = linear_onnx.convert(pipeline[-1], OPSET) or forest_onnx.convert(pipeline[-1], OPSET)
    if model is None:
        options: dict[str, Any] = {"zipmap": False}
        model = to_onnx(pipeline[-1], matrix[:1], options=options, target_opset=OPSET).SerializeToString()
    session = onnxruntime.InferenceSession(model, single_thread())
    served = probabilities(session, matrix)
    _check_alone(session, matrix[:_ROWS_ALONE], served[:_ROWS_ALONE])
    expected = pipeline.predict_proba(x)[:, 1]
    difference = float(np.abs(served - expected).max())
    if not difference <= TOLERANCE:
        raise StreamFlowError(
            f"The compiled model differs from the estimator by up to {difference:.2g} on {len(x)} rows; "
            f"at most {TOLERANCE:g} is allowed, so it is not registered.",
            hint="Choose another estimator with --estimator, or report the estimator that does this.",
        )
    return Runtime(model, "onnxruntime", onnxruntime.__version__, len(x), difference)


def _check_alone(session: Any, matrix: npt.NDArray[np.float32], together: npt.NDArray[np.float64]) -> None:
    """Online and batch answers may not differ: a row gives the same bits alone as among others."""
    alone = np.concatenate([probabilities(session, row) for row in np.split(matrix, len(matrix))])
    if not np.array_equal(alone, together):
        raise StreamFlowError(
            "The compiled model gives a row another probability alone than among others, so it is not registered.",
            hint="Choose another estimator with --estimator, or report the estimator that does this.",
        )


def single_thread() -> Any:
    """Session options for one thread: threads cost more than they give on small batches."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options


def probabilities(session: Any, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probability of the positive class for encoded rows."""
    result: npt.NDArray[np.float64] = session.run(None, {session.get_inputs()[0].name: matrix})[1][:, 1]
    return result.astype(np.float64)


def raw_rows(features: Sequence[Feature], x: pd.DataFrame) -> list[list[Any]]:
    """Rows of plain Python values in the order of the features, absent ones None, as the online store gives them."""
    columns = []
    for feature in features:
        values = x[feature.name].tolist()
        if feature.nullable:
            cast = types.of(feature.type).python
            values = [None if value != value else cast(value) for value in values]
        columns.append(values)
    return [list(row) for row in zip(*columns, strict=True)]

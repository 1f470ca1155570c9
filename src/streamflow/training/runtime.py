"""Compile a classifier to ONNX, the form that is served, and compare it with the estimator on every row."""

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
"""Maximum difference between the estimator's probability and the served one."""

OPSET = 18
_ROWS_ALONE = 256
"""Number of rows that are scored both alone and in a batch."""


@dataclass(frozen=True)
class Runtime:
    """A classifier compiled to ONNX.

    Attributes:
        model: Serialised ONNX model. Its input is `X`, of shape (n, width); its second output contains the
            probabilities, of shape (n, 2).
        name: Name of the runtime that checked the model.
        version: Version of that runtime.
        rows: Number of rows that were checked.
        largest_difference: Largest absolute difference between the estimator's probability and the model's.
    """

    model: bytes
    name: str
    version: str
    rows: int
    largest_difference: float


def compile_classifier(pipeline: Pipeline, features: Sequence[Feature], x: pd.DataFrame) -> Runtime:
    """Compile the pipeline's classifier to ONNX and compare the two on every row.

    Only the classifier is compiled. The predict service encodes features with `streamflow.encoding`, because
    converting the whole pipeline handles nulls wrongly: probabilities were off by up to 0.017.

    Args:
        pipeline: Fitted pipeline of encoder and classifier.
        features: Schema of the features.
        x: Raw features of the whole training set.

    Raises:
        StreamFlowError: The model's probabilities differ from the estimator's by more than `TOLERANCE`, or depend
            on the other rows of a batch.
    """
    import onnxruntime
    from skl2onnx import to_onnx

    rows = raw_rows(features, x)
    matrix = Encoder(features).encode(rows)
    model = linear_onnx.convert(pipeline[-1], OPSET) or forest_onnx.convert(pipeline[-1], OPSET)
    if model is None:
        # With zipmap, the probabilities would be a list of dictionaries instead of an array.
        options: dict[str, Any] = {"zipmap": False}
        model = to_onnx(pipeline[-1], matrix[:1], options=options, target_opset=OPSET).SerializeToString()
    session = onnxruntime.InferenceSession(model, single_thread())
    served = probabilities(session, matrix)
    _check_alone(session, matrix[:_ROWS_ALONE], served[:_ROWS_ALONE])
    expected = pipeline.predict_proba(x)[:, 1]
    difference = float(np.abs(served - expected).max())
    # Not `difference > TOLERANCE`, which is false for NaN.
    if not difference <= TOLERANCE:
        raise StreamFlowError(
            f"The compiled model differs from the estimator by up to {difference:.2g} on {len(x)} rows; "
            f"at most {TOLERANCE:g} is allowed, so it is not registered.",
            hint="Choose another estimator with --estimator, or report the estimator that does this.",
        )
    return Runtime(model, "onnxruntime", onnxruntime.__version__, len(x), difference)


def _check_alone(session: Any, matrix: npt.NDArray[np.float32], together: npt.NDArray[np.float64]) -> None:
    """Check that a row scored alone has the same bits as in a batch, so that online and batch scores agree."""
    alone = np.concatenate([probabilities(session, row) for row in np.split(matrix, len(matrix))])
    if not np.array_equal(alone, together):
        raise StreamFlowError(
            "The compiled model gives a row another probability alone than among others, so it is not registered.",
            hint="Choose another estimator with --estimator, or report the estimator that does this.",
        )


def single_thread() -> Any:
    """Return session options for one thread; on small batches, more threads cost more time than they save."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options


def probabilities(session: Any, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the probability of the positive class for each encoded row.

    Args:
        session: ONNX Runtime session of a compiled classifier.
        matrix: Encoded rows, of shape (n, width).
    """
    result: npt.NDArray[np.float64] = session.run(None, {session.get_inputs()[0].name: matrix})[1][:, 1]
    return result.astype(np.float64)


def raw_rows(features: Sequence[Feature], x: pd.DataFrame) -> list[list[Any]]:
    """Convert a frame to rows of plain Python values, as the online store returns them.

    Args:
        features: Schema of the features; the values of a row are in this order.
        x: Raw features.

    Returns:
        The rows, with None for null.
    """
    columns = []
    for feature in features:
        values = x[feature.name].tolist()
        if feature.nullable:
            # Nullable columns are float64 with NaN for null, regardless of the feature's type.
            cast = types.of(feature.type).python
            values = [None if value != value else cast(value) for value in values]
        columns.append(values)
    return [list(row) for row in zip(*columns, strict=True)]

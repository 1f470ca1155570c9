"""Compile a classifier to ONNX, the form that is served, and compare it with the estimator on every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline

from streamflow import types
from streamflow.encoding import Encoder
from streamflow.errors import Refused
from streamflow.model_version.contract import Feature
from streamflow.training import composed_onnx, forest_onnx, linear_onnx, onnx_graph

TOLERANCE = 1e-6
"""Maximum difference between the estimator's probability and the served one."""

OPSET = 18
_CHUNK_ROWS = 65_536
"""Number of rows that are compared at a time: between encoding and probability, a row is copied several times."""

_ROWS_ALONE = 256
"""Number of rows that are scored both alone and in a batch."""

_CALIBRATE = "Put it into a CalibratedClassifierCV, which gives probabilities."
_INSTEAD = (
    "Use a forest, boosting, a neural network or a linear model, alone or in a VotingClassifier, instead."
)


class NotServableError(Refused):
    """An estimator cannot be served.

    Args:
        why: The reason, as a clause about the estimator.
        instead: What to use instead, in one sentence.

    Attributes:
        why: The reason.
    """

    def __init__(self, why: str, instead: str = _INSTEAD) -> None:
        super().__init__(f"The estimator cannot be served: {why}.", hint=instead)
        self.why = why

    def of(self, estimator: str) -> NotServableError:
        """The same error about an estimator by its name."""
        named = NotServableError(self.why, self.hint)
        named.what = f"The estimator '{estimator}' cannot be served: {self.why}."
        return named


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

    Several ways of converting are tried in turn; the first model that agrees with the estimator is taken.

    Args:
        pipeline: Fitted pipeline of encoder and classifier.
        features: Schema of the features.
        x: Raw features of the whole training set.

    Raises:
        NotServableError: The classifier cannot be converted, or every model's probabilities differ from the
            estimator's by more than `TOLERANCE`, or depend on the other rows of a batch.
    """
    if not hasattr(pipeline, "predict_proba"):
        raise NotServableError("it gives no probabilities (predict_proba)", _CALIBRATE)
    matrix = _encoded(features, x)
    expected = np.concatenate([pipeline.predict_proba(x.iloc[rows])[:, 1] for rows in _slices(len(x))])
    differs: NotServableError | None = None
    for convert in _WAYS:
        model = convert(pipeline[-1], OPSET)
        if model is None:
            continue
        try:
            return _checked(model, matrix, expected)
        except NotServableError as error:
            differs = differs or error
    raise differs or NotServableError("there is no conversion of it, or of a part of it, to ONNX")


def _slices(rows: int) -> list[slice]:
    return [slice(start, start + _CHUNK_ROWS) for start in range(0, rows, _CHUNK_ROWS)]


def _encoded(features: Sequence[Feature], x: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Encode every row as batch scoring does; the first and the last ones also as predict does, to the same bits.

    Raises:
        UnknownCategoryError: A row has a category that is not the feature's.
        NotServableError: The two ways differ.
    """
    encoder = Encoder(features)
    matrix, unknown = encoder.encode_columns([x[feature.name].to_numpy() for feature in features])
    some = np.unique(np.concatenate([np.arange(len(x))[:_ROWS_ALONE], np.arange(len(x))[-_ROWS_ALONE:]]))
    if unknown.any():
        some = np.flatnonzero(unknown)
    if not np.array_equal(encoder.encode(raw_rows(features, x.iloc[some])), matrix[some]):
        raise NotServableError("a row is encoded otherwise alone than among others")
    return matrix


def _boosting(classifier: Any, opset: int) -> bytes | None:
    """Convert gradient boosting, of which skl2onnx makes a single node; None if it is another classifier."""
    return _single(classifier, opset) if isinstance(classifier, GradientBoostingClassifier) else None


def _single(classifier: Any, opset: int) -> bytes | None:
    """Convert with skl2onnx in single precision; None if it cannot."""
    from skl2onnx.common.data_types import FloatTensorType

    return _by_skl2onnx(classifier, FloatTensorType([None, classifier.n_features_in_]), opset)


def _double(classifier: Any, opset: int) -> bytes | None:
    """Convert with skl2onnx in double precision, rounded at the end; None if it cannot."""
    from skl2onnx.common.data_types import DoubleTensorType

    model = _by_skl2onnx(classifier, DoubleTensorType([None, classifier.n_features_in_]), opset)
    return model and onnx_graph.in_single_precision(model)


_WAYS = (forest_onnx.convert, linear_onnx.convert, _boosting, composed_onnx.convert, _single, _double)
"""Ways of converting a classifier; each takes a fitted classifier and the operator set, and returns a model or None."""


def _by_skl2onnx(classifier: Any, rows: Any, opset: int) -> bytes | None:
    from skl2onnx import to_onnx

    # With zipmap, the probabilities would be a list of dictionaries instead of an array.
    options: dict[str, Any] = {"zipmap": False}
    try:
        model: bytes = to_onnx(
            classifier, initial_types=[("X", rows)], options=options, target_opset=opset
        ).SerializeToString()
    # A converter may raise anything for a classifier that it does not know.
    except Exception:
        return None
    return model


def _checked(model: bytes, matrix: npt.NDArray[np.float32], expected: npt.NDArray[np.float64]) -> Runtime:
    """Compare a model with the estimator's probabilities of the encoded rows."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(model, single_thread())
        served = np.concatenate([probabilities(session, matrix[rows]) for rows in _slices(len(matrix))])
    # ONNX Runtime derives its errors from Exception alone, and a wrong output has any shape.
    except Exception as error:
        raise NotServableError("its conversion to ONNX does not run") from error
    some = matrix[:_ROWS_ALONE]
    alone = np.concatenate([probabilities(session, row) for row in np.split(some, len(some))])
    # The same bits, so that online and batch scores agree.
    if not np.array_equal(alone, served[: len(some)]):
        raise NotServableError("its compiled model gives a row another probability alone than among others")
    difference = float(np.abs(served - expected).max())
    # Not `difference > TOLERANCE`, which is false for NaN.
    if not difference <= TOLERANCE:
        raise NotServableError(
            f"its compiled model differs from it by up to {difference:.2g} on {len(matrix)} rows, where at most"
            f" {TOLERANCE:g} is allowed"
        )
    return Runtime(model, "onnxruntime", onnxruntime.__version__, len(matrix), difference)


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

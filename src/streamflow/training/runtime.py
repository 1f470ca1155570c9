"""Compile a classifier to ONNX, the form that is served, and compare it with the estimator on every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
_CHUNK_ROWS = 8_192
"""Number of rows that are compared at a time: from one operator to the next, ONNX Runtime keeps 10 KB
a row."""

_ROWS_ALONE = 256
"""Number of rows that are scored both alone and in a batch."""

_DOES_NOT_RUN = "its conversion to ONNX does not run"
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


def compile_classifier(pipeline: Pipeline, features: Sequence[Feature], *frames: pd.DataFrame) -> Runtime:
    """Compile the pipeline's classifier to ONNX and compare the two on every row.

    Only the classifier is compiled. The predict service encodes features with `streamflow.encoding`, because
    converting the whole pipeline handles nulls wrongly: probabilities were off by up to 0.017.

    Several ways of converting are tried in turn; the first model that agrees with the estimator is taken. No matrix of
    all rows is made, only of `_CHUNK_ROWS` at a time.

    Args:
        pipeline: Fitted pipeline of encoder and classifier.
        features: Schema of the features.
        frames: Raw features: those of the whole training set, and others.

    Raises:
        NotServableError: The classifier cannot be converted, or every model's probabilities differ from the
            estimator's by more than `TOLERANCE`, or depend on the other rows of a batch.
    """
    if not hasattr(pipeline, "predict_proba"):
        raise NotServableError("it gives no probabilities (predict_proba)", _CALIBRATE)
    encoder = Encoder(features)
    expected = []
    for part in _parts(frames):
        _check_encoding(encoder, features, part)
        expected.append(pipeline.predict_proba(part)[:, 1])
    differs: NotServableError | None = None
    for convert in _WAYS:
        model = convert(pipeline[-1], OPSET)
        if model is None:
            continue
        try:
            return _checked(model, (_encoded(encoder, features, part) for part in _parts(frames)), expected)
        except NotServableError as error:
            differs = differs or error
    raise differs or NotServableError("there is no conversion of it, or of a part of it, to ONNX")


def _parts(frames: Sequence[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Give `_CHUNK_ROWS` rows at a time, as of one frame that has the rows of all."""
    starts = np.cumsum([0, *map(len, frames)])
    for first in range(0, int(starts[-1]), _CHUNK_ROWS):
        held = [
            frame.iloc[max(first - start, 0) : max(first + _CHUNK_ROWS - start, 0)]
            for start, frame in zip(starts.tolist(), frames, strict=False)
        ]
        some = [part for part in held if len(part)]
        yield some[0] if len(some) == 1 else pd.concat(some, ignore_index=True)


def _check_encoding(encoder: Encoder, features: Sequence[Feature], x: pd.DataFrame) -> None:
    """Encode the first and the last rows also as predict does, to the same bits.

    Raises:
        NotServableError: The two ways differ.
    """
    matrix = _encoded(encoder, features, x)
    for some in (slice(None, _ROWS_ALONE), slice(-_ROWS_ALONE, None)):
        if not np.array_equal(encoder.encode(raw_rows(features, x.iloc[some])), matrix[some]):
            raise NotServableError("a row is encoded otherwise alone than among others")


def _encoded(encoder: Encoder, features: Sequence[Feature], x: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Encode rows as batch scoring does.

    Raises:
        UnknownCategoryError: A row has a category that is not the feature's.
    """
    matrix, unknown = encoder.encode_columns([x[feature.name].to_numpy() for feature in features])
    if unknown.any():
        # It names the category.
        encoder.encode(raw_rows(features, x.iloc[np.flatnonzero(unknown)]))
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


def _checked(
    model: bytes, matrices: Iterable[npt.NDArray[np.float32]], expected: Sequence[npt.NDArray[np.float64]]
) -> Runtime:
    """Compare a model with the estimator's probabilities of the encoded rows, part by part."""
    session = _session(model)
    rows, differences = 0, []
    for matrix, wanted in zip(matrices, expected, strict=True):
        served = _run(session, matrix)
        if not rows:
            some = matrix[:_ROWS_ALONE]
            alone = np.concatenate([_run(session, row) for row in np.split(some, len(some))])
            # The same bits, so that online and batch scores agree.
            if not np.array_equal(alone, served[: len(some)]):
                raise NotServableError(
                    "its compiled model gives a row another probability alone than among others"
                )
        rows += len(matrix)
        differences.append(np.abs(served - wanted).max())
    difference = float(np.max(differences))
    # Not `difference > TOLERANCE`, which is false for NaN.
    if not difference <= TOLERANCE:
        raise NotServableError(
            f"its compiled model differs from it by up to {difference:.2g} on {rows} rows, where at most"
            f" {TOLERANCE:g} is allowed"
        )
    import onnxruntime

    return Runtime(model, "onnxruntime", onnxruntime.__version__, rows, difference)


def _session(model: bytes) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model, single_thread())
    # ONNX Runtime derives its errors from Exception alone.
    except Exception as error:
        raise NotServableError(_DOES_NOT_RUN) from error


def _run(session: Any, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    try:
        served = probabilities(session, matrix)
    # A wrong output has any shape.
    except Exception as error:
        raise NotServableError(_DOES_NOT_RUN) from error
    if len(served) != len(matrix):
        raise NotServableError(_DOES_NOT_RUN)
    return served


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

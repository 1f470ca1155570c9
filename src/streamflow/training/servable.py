"""Decide whether a fitted estimator can be served, and try a candidate on a hundred rows before its fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import skops.io
from sklearn.pipeline import Pipeline

from streamflow.model_version.contract import Feature
from streamflow.training import calibration, forest_onnx, kept_rows, linear_onnx
from streamflow.training.runtime import NotServableError, compile_classifier

TRUSTED_TYPES = [
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
]
"""Types that a stored estimator may contain beyond those that skops trusts by default; all are plain data."""

_OF_EACH_CLASS = 50
"""Rows of each class that a candidate is tried on."""


def why_not(
    pipeline: Pipeline,
    features: Sequence[Feature],
    x: pd.DataFrame,
    y: npt.NDArray[np.bool_],
    *,
    calibrated: bool = False,
) -> NotServableError | None:
    """Try a candidate on a hundred rows: fit, store and compile it; None if it can be served.

    A forest or a logistic regression, whose conversion always succeeds, is not tried.

    Args:
        pipeline: Unfitted pipeline of encoder and classifier; it is fitted here, so no other fit may follow.
        features: Schema of the features.
        x: Raw features of the training rows.
        y: Labels of these rows.
        calibrated: Whether a curve will lie behind the classifier.
    """
    if forest_onnx.takes(pipeline[-1]) or linear_onnx.takes(pipeline[-1]):
        return None
    some = few_of_each(y)
    rows = x.iloc[some]
    try:
        pipeline.fit(rows, y[some])
    # An estimator of a feature repo may raise anything.
    except Exception as error:
        return NotServableError(
            f"its fit on {len(some)} rows fails ({_in_words(error)})", "Correct it in estimator.py."
        )
    try:
        check_kept_rows(pipeline, rows)
        if calibrated and hasattr(pipeline, "predict_proba"):
            pipeline = calibration.behind(pipeline, _some_curve(pipeline, rows, y[some]))
        _check_types(pipeline)
        compile_classifier(pipeline, features, rows)
    except NotServableError as error:
        return error
    return None


def few_of_each(y: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Positions of the rows that a candidate is tried on, given the labels of the training rows."""
    return np.sort(np.concatenate([np.flatnonzero(side)[:_OF_EACH_CLASS] for side in (y, ~y)]))


def _some_curve(pipeline: Pipeline, x: pd.DataFrame, y: npt.NDArray[np.bool_]) -> calibration.Calibration:
    """A curve to try the conversion with."""
    curve = calibration.fit_curve("isotonic", calibration.score(pipeline, x), y)
    return calibration.Calibration("isotonic", {}, curve, np.empty(0))


def check_kept_rows(pipeline: Pipeline, x: pd.DataFrame) -> None:
    """Refuse an estimator from whose file a customer's row could be read, as long as the version exists.

    Args:
        pipeline: Fitted pipeline.
        x: Raw features of its training rows.

    Raises:
        NotServableError: The estimator keeps rows.
    """
    if kept := kept_rows.count(pipeline, x):
        raise NotServableError(
            f"it keeps {kept} rows of its training set, so its versions would hold customers"
        )


def _check_types(pipeline: Pipeline) -> None:
    """Refuse an estimator that cannot be stored without pickle."""
    try:
        found = skops.io.get_untrusted_types(data=skops.io.dumps(pipeline))
    # skops raises various errors for objects that it does not know.
    except Exception as error:
        raise NotServableError(f"it cannot be stored without pickle ({_in_words(error)})") from error
    if unknown := sorted(set(found) - set(TRUSTED_TYPES)):
        raise NotServableError(f"it cannot be stored: nobody vouches for its parts {', '.join(unknown)}")


def _in_words(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__

"""Calibrate a classifier: choose a curve by its cross-validated scores, and put the curve behind the classifier.

The result is scikit-learn's own `CalibratedClassifierCV`, as its `fit` with `ensemble=False` would give it, so that a
model is loaded without this package. It is put together here because the scores of cross-validation exist already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier, _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import Pipeline

from streamflow.training.evaluate import decile_error

Method = Literal["isotonic", "platt"]
METHODS: tuple[Method, ...] = ("isotonic", "platt")

ENOUGH_FOR_ISOTONIC = 1000
"""Rows from which an isotonic curve is tried; of fewer it learns their noise (Niculescu-Mizil and Caruana 2005)."""

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

_NAMES = {"isotonic": "isotonic", "platt": "sigmoid"}
"""Names of the methods in scikit-learn."""


@dataclass(frozen=True)
class Calibration:
    """A curve from scores to probabilities, and what it makes of the scores of cross-validation.

    Attributes:
        method: How the curve was fitted; `none` if there is none.
        errors: Cross-validated decile error of each method that was tried.
        curve: The curve, fitted on all scores; None if there is none.
        probabilities: For each score, the probability by a curve that was fitted on the other folds.
    """

    method: Method | Literal["none"]
    errors: Mapping[str, float]
    curve: Any
    probabilities: Floats


def chosen(
    wanted: Literal["auto", "isotonic", "platt", "none"],
    scores: Floats,
    probabilities: Floats,
    labels: Labels,
    folds: npt.NDArray[np.int64],
) -> Calibration:
    """Fit a curve on all scores: the one that is wanted, or the one with the smallest cross-validated decile error.

    Of few rows, `auto` is Platt's curve, which has two parameters.

    Args:
        wanted: A method, `auto` to choose one, or `none`.
        scores: Cross-validated score of each training row: of a fit that has not seen it.
        probabilities: Cross-validated probabilities of these rows, without a curve.
        labels: Labels of these rows.
        folds: Number of the fold that each row belongs to.
    """
    if wanted == "none":
        return Calibration("none", {}, None, probabilities)
    methods = _tried(len(labels)) if wanted == "auto" else (wanted,)
    crossed = {method: _crossed(method, scores, labels, folds) for method in methods}
    errors = {method: decile_error(labels, crossed[method]) for method in methods}
    best = min(methods, key=lambda method: errors[method])
    return Calibration(
        best,
        {str(method): error for method, error in errors.items()},
        fit_curve(best, scores, labels),
        crossed[best],
    )


def _tried(rows: int) -> tuple[Method, ...]:
    return METHODS if rows >= ENOUGH_FOR_ISOTONIC else ("platt",)


def score(classifier: Any, x: Any) -> Floats:
    """What a fitted classifier gives to a curve: its decision function, or its probability if it has none."""
    if hasattr(classifier, "decision_function"):
        decision: Floats = classifier.decision_function(x)
        return decision
    probability: Floats = classifier.predict_proba(x)[:, 1]
    return probability


def behind(pipeline: Pipeline, calibration: Calibration) -> Pipeline:
    """Put a curve behind the classifier of a fitted pipeline."""
    if calibration.method == "none":
        return pipeline
    *encoding, (step, classifier) = pipeline.steps
    method = _NAMES[calibration.method]
    calibrated = CalibratedClassifierCV(classifier, method=method, ensemble=False)
    calibrated.classes_ = classifier.classes_
    calibrated.n_features_in_ = classifier.n_features_in_
    calibrated.calibrated_classifiers_ = [
        _CalibratedClassifier(classifier, [calibration.curve], classes=classifier.classes_, method=method)
    ]
    return Pipeline([*encoding, (step, calibrated)])


def before(classifier: Any) -> Any:
    """The classifier that a curve lies behind, or the classifier itself if it is not calibrated."""
    if isinstance(classifier, CalibratedClassifierCV) and len(classifier.calibrated_classifiers_) == 1:
        return classifier.calibrated_classifiers_[0].estimator
    return classifier


def fit_curve(method: Method, scores: Floats, labels: Labels) -> Any:
    """Fit a curve from scores to probabilities.

    Args:
        method: `isotonic` (Zadrozny and Elkan 2002), or `platt` for a logistic curve (Platt 1999).
        scores: Scores of rows that the scored classifier has not seen.
        labels: Labels of these rows.
    """
    if method == "platt":
        return _SigmoidCalibration().fit(scores, labels)
    # A few rows at an end may all be of one class, which does not make the next one certain.
    least = 1 / (len(labels) + 2)
    curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    return curve.fit(scores, labels)


def _crossed(method: Method, scores: Floats, labels: Labels, folds: npt.NDArray[np.int64]) -> Floats:
    probabilities = np.empty(len(scores))
    for fold in np.unique(folds):
        inside = folds == fold
        curve = fit_curve(method, scores[~inside], labels[~inside])
        probabilities[inside] = curve.predict(scores[inside])
    return probabilities

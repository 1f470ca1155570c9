"""Calibrate a classifier: choose a curve by its cross-validated scores, and put the curve behind the classifier.

The result is scikit-learn's own `CalibratedClassifierCV`, as its `fit` with `ensemble=False` would give it, so that a
model is loaded without this package. It is put together here because the scores of cross-validation exist already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier, _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from streamflow.training.evaluate import decile_error

Method = Literal["isotonic", "platt"]
METHODS: tuple[Method, ...] = ("isotonic", "platt")

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

_NAMES = {"isotonic": "isotonic", "platt": "sigmoid"}
"""Names of the methods in scikit-learn."""


@dataclass(frozen=True)
class Calibration:
    """A chosen curve and what it does to the scores of cross-validation.

    Attributes:
        method: How the curve was fitted.
        errors: Cross-validated decile error of each method.
        curve: Curve from scores to probabilities, fitted on all scores.
        probabilities: For each score, the probability by a curve that was fitted on the other folds.
    """

    method: Method
    errors: Mapping[str, float]
    curve: Any
    probabilities: Floats


def choose(
    methods: Sequence[Method], scores: Floats, labels: Labels, folds: npt.NDArray[np.int64]
) -> Calibration:
    """Choose the method with the smallest cross-validated decile error, and fit its curve on all scores.

    Args:
        methods: Methods to choose from.
        scores: Cross-validated score of each training row: of a fit that has not seen it.
        labels: Labels of these rows.
        folds: Number of the fold that each row belongs to.
    """
    crossed = {method: _crossed(method, scores, labels, folds) for method in methods}
    errors = {method: decile_error(labels, probabilities) for method, probabilities in crossed.items()}
    best = min(methods, key=lambda method: errors[method])
    return Calibration(best, errors, fit_curve(best, scores, labels), crossed[best])


def score(classifier: Any, x: Any) -> Floats:
    """What a fitted classifier gives to a curve: its decision function, or its probability if it has none."""
    if hasattr(classifier, "decision_function"):
        decision: Floats = classifier.decision_function(x)
        return decision
    probability: Floats = classifier.predict_proba(x)[:, 1]
    return probability


def behind(classifier: ClassifierMixin, method: Method, curve: Any) -> CalibratedClassifierCV:
    """Put a curve behind a fitted classifier."""
    name = _NAMES[method]
    calibrated = CalibratedClassifierCV(classifier, method=name, ensemble=False)
    calibrated.classes_ = classifier.classes_
    calibrated.n_features_in_ = classifier.n_features_in_
    calibrated.calibrated_classifiers_ = [
        _CalibratedClassifier(classifier, [curve], classes=classifier.classes_, method=name)
    ]
    return calibrated


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


def folds_of(splits: Iterator[tuple[Any, npt.NDArray[np.int64]]], rows: int) -> npt.NDArray[np.int64]:
    """The number of the fold that each row is tested in, from the splits of a cross-validation."""
    numbers = np.empty(rows, dtype=np.int64)
    for number, (_, test) in enumerate(splits):
        numbers[test] = number
    return numbers

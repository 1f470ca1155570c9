"""Figures of merit of a binary classifier's probabilities. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn import metrics


def evaluate(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64], threshold: float
) -> dict[str, float]:
    """All figures that a run logs.

    Args:
        labels: n true labels.
        probabilities: n probabilities of the positive class.
        threshold: Probability from which a row counts as positive.

    Returns:
        auc (area under the ROC curve), average_precision, f1, accuracy, precision, recall, log_loss (nats),
        brier (mean squared error of the probability) and calibration_error.
    """
    predicted = probabilities >= threshold
    return {
        "auc": float(metrics.roc_auc_score(labels, probabilities)),
        "average_precision": float(metrics.average_precision_score(labels, probabilities)),
        "f1": float(metrics.f1_score(labels, predicted, zero_division=0.0)),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "precision": float(metrics.precision_score(labels, predicted, zero_division=0.0)),
        "recall": float(metrics.recall_score(labels, predicted, zero_division=0.0)),
        "log_loss": float(metrics.log_loss(labels, np.clip(probabilities, 1e-15, 1 - 1e-15))),
        "brier": float(metrics.brier_score_loss(labels, probabilities)),
        "calibration_error": calibration_error(labels, probabilities),
    }


def calibration_error(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64], bins: int = 10
) -> float:
    """Expected calibration error over bins of equal width (Naeini, Cooper, Hauskrecht 2015).

    The mean over bins, weighted by their rows, of |mean probability - share of positives|.
    """
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    error = 0.0
    for i in range(bins):
        inside = which == i
        if inside.any():
            error += inside.mean() * abs(float(probabilities[inside].mean()) - float(labels[inside].mean()))
    return float(error)

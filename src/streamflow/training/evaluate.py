"""Compute the metrics of a binary classifier from its probabilities. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn import metrics


def evaluate(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64], threshold: float
) -> dict[str, float]:
    """Compute every metric that a run logs.

    Args:
        labels: True labels, one per row.
        probabilities: Predicted probabilities of the positive class, one per row.
        threshold: Lowest probability that counts as a positive prediction.

    Returns:
        The metrics by name: auc (area under the ROC curve), average_precision, f1, accuracy, precision, recall,
        log_loss (in nats), brier (mean squared error of the probabilities), calibration_error with the ends of its
        95 % interval (calibration_error_low, calibration_error_high) and decile_error.
    """
    low, high = calibration_interval(labels, probabilities)
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
        "calibration_error_low": low,
        "calibration_error_high": high,
        "decile_error": decile_error(labels, probabilities),
    }


def calibration_error(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64], bins: int = 10
) -> float:
    """Compute the expected calibration error (Naeini, Cooper, Hauskrecht 2015).

    The probabilities are sorted into bins of equal width. The error is the mean of
    |mean probability - share of positives| over the bins, weighted by their number of rows.

    Args:
        labels: True labels, one per row.
        probabilities: Predicted probabilities of the positive class, one per row.
        bins: Number of bins.
    """
    surplus = np.bincount(_bins(probabilities, bins), weights=probabilities - labels, minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def calibration_interval(
    labels: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float64],
    bins: int = 10,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Basic bootstrap interval of the expected calibration error (Davison and Hinkley 1997, section 5.2).

    A row is drawn a Poisson number of times (Chamandy et al. 2012), so the surplus of a bin is nearly normal around what
    it is, with the sum of its squared differences as variance. This takes one pass over the rows, whatever their number.
    An error is never negative, so that of few rows is overstated, and those of the resamples as much again. The basic
    interval takes this off: its ends are the resamples' quantiles, mirrored at the error.

    Args:
        labels: True labels, one per row.
        probabilities: Predicted probabilities of the positive class, one per row.
        bins: Number of bins.
        resamples: Number of resamples.
        seed: Seed of the resampling.
        level: Share of the resamples that the interval covers.
    """
    which, off = _bins(probabilities, bins), probabilities - labels
    surplus = np.bincount(which, weights=off, minlength=bins)
    # In a bin of few rows, the differences may all be small by chance; the probabilities say how large they should be.
    seen = np.bincount(which, weights=off * off, minlength=bins)
    said = np.bincount(which, weights=probabilities * (1 - probabilities), minlength=bins)
    spread = np.sqrt(np.maximum(seen, said))
    drawn = np.random.default_rng(seed).normal(surplus, spread, size=(resamples, bins))
    errors = np.abs(drawn).sum(axis=1) / len(labels)
    low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
    twice = 2 * np.abs(surplus).sum() / len(labels)
    return max(0.0, float(twice - high)), max(0.0, float(twice - low))


def _bins(probabilities: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.int64]:
    # The minimum puts a probability of exactly 1 into the last bin.
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)


def decile_error(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64], parts: int = 10
) -> float:
    """Compute the expected calibration error over parts of equal size (Nguyen and O'Connor 2015).

    The rows are sorted by probability and cut into parts. The error is the mean of
    |mean probability - share of positives| over the parts, weighted by their number of rows. Unlike bins of equal width,
    no part is nearly empty.

    Args:
        labels: True labels, one per row.
        probabilities: Predicted probabilities of the positive class, one per row.
        parts: Number of parts.
    """
    order = np.argsort(probabilities, kind="stable")
    error = 0.0
    for inside in np.array_split(order, min(parts, len(order))):
        error += len(inside) * abs(float(probabilities[inside].mean()) - float(labels[inside].mean()))
    return error / len(order)

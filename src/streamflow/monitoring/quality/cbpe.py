"""Confidence-based performance estimation: what calibrated scores say about quality before labels are known. Pure.

A calibrated score p says that the label is positive with probability p. So every count that a metric is made of has
an expected value, and the labels that could have been drawn give it a variance. Nothing is simulated: log loss and
Brier score are sums over rows, and the AUC is a ratio of two sums, whose variance the delta method gives.

The estimate assumes that a score means the same as in training, in other words no concept drift. It sees other inputs,
and does not see another relation between inputs and label.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.quality.interval import Interval, normal

LEAST_PROBABILITY = 1e-15
"""Smallest distance of a probability from 0 and 1 in a log loss, as training has it."""

Floats = npt.NDArray[np.float64]


def auc(scores: Floats) -> Interval | None:
    """Expected AUC: expected pairs in the right order, ties as half a pair, over expected pairs.

    Args:
        scores: Calibrated scores, one a row.

    Returns:
        The AUC; None if there is no pair of a positive and a negative.
    """
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    other = 1 - scores
    positives = np.bincount(group, weights=scores, minlength=len(sizes))
    negatives = np.bincount(group, weights=other, minlength=len(sizes))
    below = np.cumsum(negatives) - negatives
    above = positives.sum() - np.cumsum(positives)
    # A row is no pair with itself.
    won = below[group] + (negatives[group] - other) / 2
    lost = above[group] + (positives[group] - scores) / 2
    pairs = float((scores * (other.sum() - other)).sum())
    if len(scores) < 2 or pairs <= 0:
        return None
    value = float((scores * won).sum()) / pairs
    slope = (won - lost - value * ((other.sum() - other) - (scores.sum() - scores))) / pairs
    return normal(value, float((scores * other * slope**2).sum()), most=1.0)


def log_loss(scores: Floats) -> Interval:
    """Expected log loss in nats: the mean entropy of the scores.

    Args:
        scores: Calibrated scores, one a row, at least one.
    """
    kept = np.clip(scores, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    up, down = -np.log(kept), -np.log1p(-kept)
    return _mean(scores, up, down)


def brier(scores: Floats) -> Interval:
    """Expected Brier score: the mean of p (1 - p).

    Args:
        scores: Calibrated scores, one a row, at least one.
    """
    return _mean(scores, (1 - scores) ** 2, scores**2, most=1.0)


def counts(scores: Floats, predicted: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """Expected numbers of true positives, false positives and false negatives.

    Args:
        scores: Calibrated scores, one a row.
        predicted: Whether each row was predicted to be positive.
    """
    hits = float(scores[predicted].sum())
    return hits, float(predicted.sum()) - hits, float(scores[~predicted].sum())


def _mean(scores: Floats, positive: Floats, negative: Floats, most: float = np.inf) -> Interval:
    """Mean of a loss that each row's label decides.

    Args:
        scores: Calibrated scores.
        positive: Loss of each row if its label is positive.
        negative: Loss of each row if its label is negative.
        most: Largest value that the mean can have.
    """
    rows = len(scores)
    value = float((scores * positive + (1 - scores) * negative).mean())
    variance = float((scores * (1 - scores) * (positive - negative) ** 2).sum()) / rows**2
    return normal(value, variance, most=most)

"""Losses of labelled scores, with a bootstrap interval of their mean. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.quality.cbpe import LEAST_PROBABILITY
from streamflow.monitoring.quality.interval import LEVEL, Interval, normal

Floats = npt.NDArray[np.float64]

BOOTSTRAPPED_ROWS = 5_000
"""Number of rows up to which the interval is a bootstrap's."""

_RESAMPLES = 2000
_WEIGHTS_AT_ONCE = 2_000_000


def brier(labels: npt.NDArray[np.bool_], scores: Floats) -> Interval:
    """Brier score: the mean squared error of the scores. At least one row."""
    return mean((scores - labels) ** 2)


def log_loss(labels: npt.NDArray[np.bool_], scores: Floats) -> Interval:
    """Log loss in nats. At least one row."""
    kept = np.clip(scores, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return mean(-np.log(np.where(labels, kept, 1 - kept)))


def mean(values: Floats) -> Interval:
    """Mean with its 95 % interval.

    Each resample takes every row a Poisson number of times (Chamandy et al. 2012), and the interval lies between
    quantiles of the resamples' means. Of many rows, these quantiles are those of a normal distribution by the central
    limit theorem, so that a million rows need one pass and not two thousand.

    Args:
        values: Loss of each row, none negative; at least one.
    """
    value = float(values.mean())
    if len(values) == 1:
        return Interval(value)
    if len(values) > BOOTSTRAPPED_ROWS:
        return normal(value, float(values.var(ddof=1)) / len(values))
    drawn = _drawn(values)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _drawn(values: Floats, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    at_once = max(1, _WEIGHTS_AT_ONCE // len(values))
    parts = []
    for start in range(0, _RESAMPLES, at_once):
        weights = rng.poisson(1.0, size=(min(at_once, _RESAMPLES - start), len(values)))
        totals = weights.sum(axis=1)
        # A resample of very few rows may be empty.
        parts.append((weights @ values)[totals > 0] / totals[totals > 0])
    return np.concatenate(parts)

"""The two-sample Anderson-Darling test with ties.

With ties, the limit of the statistic is not the law of continuous samples: for two values it is that of a single
squared normal variable, whose tail is far heavier. Here it is the law of the values at hand. Given the pooled counts, the
statistic is a quadratic form of a vector whose covariance is known, so its limit is a weighted sum of squared normal
variables.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.drift import chi_squares, exact
from streamflow.monitoring.drift.distributions import Counts, Floats, Numbers, aligned, groups

GROUPS = 128
"""Groups of about equal size into which values are collected for the law of the statistic."""

LEAST_EXPECTED = 5.0
"""Rows of the smaller side that a test expects at least in each of its outermost values, or classes."""


def p_value(one: Numbers, other: Numbers) -> float:
    """The p-value of the Anderson-Darling test that two samples come from one distribution. Pure.

    The outermost values are merged until enough rows of the smaller side are expected there for the limit to hold. Where
    that leaves fewer than two, the commonest value is compared with all others, exactly.
    """
    _, x, y = aligned(one, other)
    merged_x, merged_y = merged_ends(x, y)
    if len(merged_x) < 2:
        return exact.p_value(x, y)
    x, y = merged_x, merged_y
    return chi_squares.tail(weights(x + y), float(statistic(x, y)))


def merged_ends(x: Counts, y: Counts) -> tuple[Counts, Counts]:
    """Merge the outermost values until the smaller side expects `LEAST_EXPECTED` rows in them. Pure."""
    total = x + y
    expected = total * (min(x.sum(), y.sum()) / total.sum())
    low = int(np.searchsorted(np.cumsum(expected), LEAST_EXPECTED))
    high = len(x) - 1 - int(np.searchsorted(np.cumsum(expected[::-1]), LEAST_EXPECTED))
    if low >= high:
        return x[:0], y[:0]
    starts = np.concatenate([[0], np.arange(low + 1, high + 1)])
    return np.add.reduceat(x, starts), np.add.reduceat(y, starts)


def statistic(x: npt.NDArray[np.integer], y: npt.NDArray[np.integer]) -> Floats:
    """The Anderson-Darling statistic by middle ranks (Scholz and Stephens 1987, equation 7); its expectation is 1. Pure.

    Args:
        x: Counts of one side, by value along the last axis.
        y: Counts of the other side.
    """
    n, m = x.sum(axis=-1, keepdims=True), y.sum(axis=-1, keepdims=True)
    total = x + y
    p = total / (n + m)
    below = np.cumsum(p, axis=-1) - p / 2
    deviation = np.cumsum(x, axis=-1) - x / 2 - n * below
    variance = below * (1 - below) - p / 4
    terms = np.divide(p * deviation**2, variance, out=np.zeros_like(p), where=variance > 1e-15)
    factor = (n + m - 1) / (n * m.astype(np.float64))
    return np.asarray(factor[..., 0] * terms.sum(axis=-1))


def weights(total: Counts) -> Floats:
    """Weights of the squared normal variables in the limit of `statistic`, given the pooled counts. Pure."""
    starts = groups(total, GROUPS)
    share = total / total.sum()
    p = np.add.reduceat(share, starts)
    if len(p) < 2:
        return np.ones(1)
    below = np.cumsum(p) - p / 2
    covariance = np.minimum.outer(below, below) * (1 - np.maximum.outer(below, below))
    # A group of one value has the variance of a tie; one of many small values nearly that of a continuous variable.
    variance = below * (1 - below) - np.add.reduceat(share**2, starts) / p / 4
    np.fill_diagonal(covariance, variance)
    scale = np.sqrt(p / variance)
    found: Floats = np.linalg.eigvalsh(covariance * np.outer(scale, scale))
    return found[found > 1e-12]

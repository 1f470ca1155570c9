"""Counts by class: whether two samples come from one distribution over the classes, and how far they differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.drift import chi_squares, exact
from streamflow.monitoring.drift.anderson_darling import LEAST_EXPECTED
from streamflow.monitoring.drift.distributions import Floats

Array = npt.NDArray[np.integer]


def p_value(x: Array, y: Array) -> float:
    """The p-value of the test that two samples come from one distribution over classes. Pure.

    Rare classes are pooled. Where that leaves fewer than two, the largest class is compared with all others, exactly.

    Args:
        x: Counts of one side, by class.
        y: Counts of the other side, by class; a class that a side lacks has the count 0.
    """
    one, two = pooled(x, y)
    if len(one) < 2:
        return exact.p_value(x, y)
    return chi_squares.tail(np.ones(len(one) - 1), float(statistic(one, two)))


def statistic(x: Array, y: Array) -> Floats:
    """The smaller one of Pearson's chi-square and the likelihood ratio G, along the last axis. Pure.

    With samples of different sizes the limit makes one of them reject too often in the upper tail of a small class, and
    the other one in its lower tail.
    """
    n, m = x.sum(axis=-1, keepdims=True), y.sum(axis=-1, keepdims=True)
    total = (x + y).astype(np.float64)
    pearson, ratio = np.zeros(total.shape[:-1]), np.zeros(total.shape[:-1])
    for side, rows in ((x, n), (y, m)):
        expected = total * (rows / (n + m))
        held = expected > 0
        pearson += np.divide((side - expected) ** 2, expected, out=np.zeros_like(total), where=held).sum(
            axis=-1
        )
        quotient = np.divide(side, expected, out=np.ones_like(total), where=held & (side > 0))
        ratio += 2 * (side * np.log(quotient)).sum(axis=-1)
    return np.minimum(pearson, ratio)


def pooled(x: Array, y: Array) -> tuple[Array, Array]:
    """Pool the rarest classes into one until each side expects `LEAST_EXPECTED` rows in every class. Pure."""
    total = x + y
    pools = pools_of(total * (min(x.sum(), y.sum()) / max(total.sum(), 1)))
    return gathered(x, pools), gathered(y, pools)


def pools_of(expected: Floats) -> list[Array]:
    """The classes that stay, each alone, and those that are pooled, together. Pure.

    Args:
        expected: Rows of the smaller side that are expected in each class.

    Returns:
        Indexes of the classes; none if there are too few rows for two classes.
    """
    order = np.argsort(expected, kind="stable")
    rare = int((expected < LEAST_EXPECTED).sum())
    while 0 < expected[order[:rare]].sum() < LEAST_EXPECTED:
        if rare == len(order):
            return []
        rare += 1
    kept: list[Array] = [order[at : at + 1] for at in range(rare, len(order))]
    return [*kept, order[:rare]] if expected[order[:rare]].any() else kept


def gathered(counts: Array, pools: list[Array]) -> Array:
    """Counts by pool, along the last axis. Pure."""
    sums = [counts[..., pool].sum(axis=-1) for pool in pools]
    return np.stack(sums, axis=-1) if sums else counts[..., :0]


def difference(x: Array, y: Array) -> Floats:
    """The largest difference between the shares of a class, along the last axis. Pure."""
    return np.asarray(
        np.abs(x / x.sum(axis=-1, keepdims=True) - y / y.sum(axis=-1, keepdims=True)).max(axis=-1)
    )

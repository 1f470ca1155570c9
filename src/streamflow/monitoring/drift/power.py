"""The smallest shift that a month would have shown, in 95 of 100 cases, as significant and large enough to count.

Both sides are drawn from the reference's distribution, one of them shifted, by a generator with a fixed seed. So the same
counts give the same figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from streamflow.monitoring.drift import anderson_darling, chi_squares, exact, shares
from streamflow.monitoring.drift.distributions import Counts, Floats, Numbers, groups

POWER = 0.95
BINS = 100
"""Bins of the reference that are drawn from, with about as many rows each."""

_DRAWS = 1000
_SEED = 20240131
_NORMAL = NormalDist()
_LARGEST_SHIFT = 20.0


@dataclass(frozen=True)
class Limits:
    """What makes a difference drift.

    Attributes:
        alpha: The p-value has to be below it.
        smallest: The effect has to be at least this.
    """

    alpha: float
    smallest: float


def of_number(reference: Numbers, rows: int, limits: Limits) -> float | None:
    """The smallest shift of a number, in standard deviations of the reference. Pure.

    The shift moves the distribution function, interpolated between the values, up or down, whichever is harder to see.

    Args:
        reference: Distribution of the reference; not constant.
        rows: Number of values of the month.
        limits: What makes a difference drift.

    Returns:
        The shift of the mean; None if no shift of twenty standard deviations could have been shown.
    """
    starts = groups(reference.counts, BINS)
    counts = np.add.reduceat(reference.counts, starts)
    centres = np.add.reduceat(reference.counts * (reference.values / reference.sd), starts) / counts
    simulation = _Numbers(centres, counts / counts.sum(), reference.rows, rows, limits)
    start = _first_guess(reference.rows, rows, limits)
    found: list[float] = []
    unseen: list[float] = []
    for up in (1, -1):
        shift = _root(lambda size, up=up: simulation.power(size * up), start, _LARGEST_SHIFT)  # type: ignore[misc]
        side = unseen if shift is None else found
        side.append(simulation.moved(up * (_LARGEST_SHIFT if shift is None else shift)))
    # Values that cannot move that far in a direction, as mere zeros cannot fall, do not blind the month.
    return max(found) if found and all(moved <= max(found) for moved in unseen) else None


def of_share(reference: Counts, rows: int, limits: Limits) -> float | None:
    """The smallest change of the share of a class, of the one whose change is hardest to see. Pure.

    Args:
        reference: Counts of the reference, by class.
        rows: Number of values of the month.
        limits: What makes a difference drift.

    Returns:
        The change of the share; None if no change could have been shown.
    """
    share = reference / reference.sum()
    if len(share) < 2:
        share = np.append(share, 0.0)
    at = int(np.argmax(share * (1 - share)))
    up = 1.0 if share[at] <= 0.5 else -1.0
    room = 1 - share[at] if up > 0 else share[at]

    def shifted(change: float) -> Floats:
        moved = (
            share * ((1 - share[at] - up * change) / (1 - share[at]))
            if share[at] < 1
            else np.full(len(share), change / (len(share) - 1))
        )
        moved[at] = share[at] + up * change
        return np.asarray(np.clip(moved, 0, 1), dtype=np.float64)

    simulation = _Shares(share, int(reference.sum()), rows, limits)
    start = _first_guess(int(reference.sum()), rows, limits, float(np.sqrt(share[at] * (1 - share[at]))))
    return _root(lambda change: simulation.power(shifted(change)), min(start, room), room)


def _first_guess(n: int, m: int, limits: Limits, sd: float = 1.0) -> float:
    """The shift that a test of two means would show."""
    z = _NORMAL.inv_cdf(1 - max(limits.alpha, 1e-15) / 2) + _NORMAL.inv_cdf(POWER)
    return max(z * sd * float(np.sqrt(1 / n + 1 / m)), 1.05 * limits.smallest, 1e-6)


def _root(power: Callable[[float], float], start: float, largest: float) -> float | None:
    """Where the power passes `POWER`; it is taken to grow with the shift."""
    low, high = 0.0, start
    at_low, at_high = 0.0, power(start)
    if at_high >= POWER:
        low, at_low = start, at_high
        while at_low >= POWER:
            high, at_high = low, at_low
            low = high / 1.3
            if low < 1e-6:
                return high
            at_low = power(low)
    while at_high < POWER:
        if high >= largest:
            return None
        low, at_low = high, at_high
        high = min(high * 1.3, largest)
        at_high = power(high)
    for _ in range(2):
        middle = (low + high) / 2
        at = power(middle)
        low, at_low, high, at_high = (middle, at, high, at_high) if at < POWER else (low, at_low, middle, at)
    one, two = (_NORMAL.inv_cdf(min(max(p, 0.5 / _DRAWS), 1 - 0.5 / _DRAWS)) for p in (at_low, at_high))
    part = (_NORMAL.inv_cdf(POWER) - one) / max(two - one, 1e-9)
    return low + (high - low) * min(max(part, 0.0), 1.0)


class _Numbers:
    """Draws of both sides of a number, and how many of them would be drift."""

    def __init__(self, centres: Floats, share: Floats, n: int, m: int, limits: Limits) -> None:
        gaps = np.diff(centres)
        self._edges = np.concatenate(
            [[centres[0] - gaps[0] / 2], centres[:-1] + gaps / 2, [centres[-1] + gaps[-1] / 2]]
        )
        self._gaps, self._share, self._m, self._limits = gaps, share, m, limits
        self._below = np.concatenate([[0.0], np.cumsum(share)])
        self._reference = np.random.default_rng([_SEED, 0]).multinomial(n, share, size=_DRAWS)
        self._critical: float | None = None

    def _shifted(self, shift: float) -> Floats:
        below = np.interp(self._edges - shift, self._edges, self._below)
        below[0], below[-1] = 0.0, 1.0
        shares: Floats = np.maximum(np.diff(below), 0.0)
        shares /= shares.sum()
        return shares

    def moved(self, shift: float) -> float:
        """How far a shift moves the distribution, in standard deviations: less than the shift near a bound."""
        apart = np.abs(np.cumsum(self._share) - np.cumsum(self._shifted(shift)))
        return float(apart[:-1] @ self._gaps)

    def power(self, shift: float) -> float:
        """Share of the draws that are drift after a shift."""
        share = self._shifted(shift)
        drawn = np.random.default_rng([_SEED, 1]).multinomial(self._m, share, size=_DRAWS)
        n = self._reference.sum(axis=1, keepdims=True)
        apart = np.abs(np.cumsum(self._reference, axis=1) / n - np.cumsum(drawn, axis=1) / self._m)
        large = apart[:, :-1] @ self._gaps >= self._limits.smallest
        expected = self._share * n[0] + share * self._m
        x, y = _merged(self._reference, drawn, expected, min(int(n[0, 0]), self._m))
        if x.shape[1] < 2:
            return 0.0
        if self._critical is None:
            # The law of the pooled counts hardly depends on the shift.
            pooled = (x.sum(axis=0) + y.sum(axis=0)).astype(np.int64)
            weights = anderson_darling.weights(pooled[pooled > 0])
            self._critical = chi_squares.quantile(weights, self._limits.alpha)
        return float((large & (anderson_darling.statistic(x, y) > self._critical)).mean())


def _merged(x: Counts, y: Counts, expected: Floats, smaller: int) -> tuple[Counts, Counts]:
    """Merge the outermost bins as the test does, by what is expected in them."""
    part = expected * (smaller / expected.sum())
    low = int(np.searchsorted(np.cumsum(part), anderson_darling.LEAST_EXPECTED))
    high = len(part) - 1 - int(np.searchsorted(np.cumsum(part[::-1]), anderson_darling.LEAST_EXPECTED))
    if low >= high:
        return x[:, :0], y[:, :0]
    starts = np.concatenate([[0], np.arange(low + 1, high + 1)])
    return np.add.reduceat(x, starts, axis=1), np.add.reduceat(y, starts, axis=1)


class _Shares:
    """Draws of both sides of a category, and how many of them would be drift."""

    def __init__(self, share: Floats, n: int, m: int, limits: Limits) -> None:
        self._share, self._n, self._m, self._limits = share, n, m, limits
        self._reference = np.random.default_rng([_SEED, 0]).multinomial(n, share, size=_DRAWS)

    def power(self, shifted: Floats) -> float:
        """Share of the draws that are drift after a change."""
        drawn = np.random.default_rng([_SEED, 1]).multinomial(self._m, shifted, size=_DRAWS)
        large = shares.difference(self._reference, drawn) >= self._limits.smallest
        expected = self._share * self._n + shifted * self._m
        pools = shares.pools_of(expected * (min(self._n, self._m) / expected.sum()))
        if len(pools) < 2:
            return float((large & (self._exact(drawn) < self._limits.alpha)).mean())
        critical = chi_squares.quantile(np.ones(len(pools) - 1), self._limits.alpha)
        found = shares.statistic(shares.gathered(self._reference, pools), shares.gathered(drawn, pools))
        return float((large & (found > critical)).mean())

    def _exact(self, drawn: Counts) -> Floats:
        at = int(np.argmax(self._reference.sum(axis=0) + drawn.sum(axis=0)))
        pairs = np.stack([self._reference[:, at], drawn[:, at]], axis=1)
        distinct, which = np.unique(pairs, axis=0, return_inverse=True)
        found = [
            exact.p_value(np.array([a, self._n - a]), np.array([b, self._m - b]))
            for a, b in distinct.tolist()
        ]
        return np.array(found)[which.reshape(-1)]

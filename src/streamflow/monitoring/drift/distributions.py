"""Distributions of numbers as counts by value, and Wasserstein's distance between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Numbers:
    """A distribution of numbers.

    Attributes:
        values: The distinct values, ascending.
        counts: Number of rows of each.
    """

    values: Floats
    counts: Counts

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return float(self.values @ (self.counts / self.counts.sum()))

    @property
    def sd(self) -> float:
        """Standard deviation of the values."""
        shares = self.counts / self.counts.sum()
        return float(np.sqrt(shares @ (self.values - self.values @ shares) ** 2))


def of(values: Floats) -> Numbers:
    """The distribution of the finite ones of some values. Pure."""
    distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    return Numbers(distinct, counts.astype(np.int64))


def aligned(one: Numbers, other: Numbers) -> tuple[Floats, Counts, Counts]:
    """The distinct values of two distributions, and the counts of each side. Pure."""
    values = np.union1d(one.values, other.values)
    sides = []
    for side in (one, other):
        counts = np.zeros(len(values), dtype=np.int64)
        counts[np.searchsorted(values, side.values)] = side.counts
        sides.append(counts)
    return values, sides[0], sides[1]


def groups(counts: Counts, most: int) -> npt.NDArray[np.int64]:
    """Where each group of neighbouring values starts, at most `most` of them with about as many rows each. Pure."""
    if len(counts) <= most:
        return np.arange(len(counts))
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    return np.unique(np.floor(middle * most), return_index=True)[1]


def distance(one: Numbers, other: Numbers) -> float:
    """Wasserstein's distance between two distributions, the area between their distribution functions. Pure."""
    values, x, y = aligned(one, other)
    apart = np.abs(np.cumsum(x) / x.sum() - np.cumsum(y) / y.sum())
    return float(apart[:-1] @ np.diff(values))

"""Distributions of numbers as counts by value, and Wasserstein's distance between two of them."""

from __future__ import annotations

from collections.abc import Mapping
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
    def sd(self) -> float:
        """Standard deviation of the values; 0 only of a single value, or of none."""
        if len(self.values) < 2:
            return 0.0
        # Scaled, because the square of a large or small value is infinite or zero.
        scale = float(np.abs(self.values).max())
        scaled, shares = self.values / scale, self.counts / self.counts.sum()
        return scale * float(np.sqrt(shares @ (scaled - scaled @ shares) ** 2))


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


def distance(one: Numbers, other: Numbers, unit: float) -> float:
    """Wasserstein's distance between two distributions, the area between their distribution functions. Pure.

    Args:
        one: A distribution.
        other: Another one.
        unit: Unit of the distance.
    """
    values, x, y = aligned(one, other)
    apart = np.abs(np.cumsum(x) / x.sum() - np.cumsum(y) / y.sum())
    with np.errstate(over="ignore"):
        return float(np.nan_to_num(apart[:-1] @ (np.diff(values / unit))))


def bin_counts(reference: Numbers, current: Numbers, most: int) -> tuple[Floats, Counts, Counts]:
    """Counts of both sides in bins that hold about as many rows of the reference each. Pure.

    Returns:
        The edges between the bins, halfway between values of the reference, and the counts of both sides.
    """
    starts = groups(reference.counts, most)
    edges = reference.values[starts[1:] - 1] / 2 + reference.values[starts[1:]] / 2
    sides = [
        np.bincount(
            np.searchsorted(edges, side.values, side="right"), weights=side.counts, minlength=len(starts)
        ).astype(np.int64)
        for side in (reference, current)
    ]
    return edges, sides[0], sides[1]


@dataclass(frozen=True)
class TwoNumbers:
    """A number on both sides."""

    reference: Numbers
    current: Numbers


@dataclass(frozen=True)
class TwoCategories:
    """A category on both sides: the names of the classes, and the counts of each side."""

    names: tuple[str, ...]
    reference: Counts
    current: Counts


def pair(
    reference: Numbers | Mapping[str, int], current: Numbers | Mapping[str, int]
) -> TwoNumbers | TwoCategories:
    """Both sides in the form in which they are compared. Pure.

    A number that is constant in the reference has no standard deviation to measure by. So it is compared as a category:
    the constant, and all other values.

    Raises:
        TypeError: One side is a number and the other one is not.
    """
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        if reference.sd > 0:
            return TwoNumbers(reference, current)
        constant = reference.values[0]
        same = int(current.counts[current.values == constant].sum())
        sides = (np.array([reference.rows, 0]), np.array([same, current.rows - same]))
        return TwoCategories((f"{constant:g}", "other values"), *sides)
    if isinstance(reference, Numbers) or isinstance(current, Numbers):
        raise TypeError("a number cannot be compared with a category")
    names = tuple(sorted({*reference, *current}))
    one, other = (
        np.array([side.get(name, 0) for name in names], dtype=np.int64) for side in (reference, current)
    )
    return TwoCategories(names, one, other)

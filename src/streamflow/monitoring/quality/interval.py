"""A figure with its 95 % interval. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % interval.

    Attributes:
        value: The figure.
        low: Lower end; None if the rows do not give one.
        high: Upper end; None if the rows do not give one.
    """

    value: float
    low: float | None = None
    high: float | None = None


def normal(value: float, variance: float, *, most: float = math.inf) -> Interval:
    """The interval of a figure that is nearly normal, cut at 0 and at the largest possible value.

    Args:
        value: The figure.
        variance: Its variance.
        most: Largest value that the figure can have.
    """
    half = Z * math.sqrt(variance)
    return Interval(value, max(value - half, 0.0), min(value + half, most))

"""Confidence bounds of the mean of independent values between 0 and 1, valid for any number of rows. Pure.

Both bounds bet on a mean m: the product of 1 + c (x - m) over the rows has an expected value of at most 1 while the true
mean is at most m, so by Markov's inequality it reaches 1 / alpha with probability alpha at most. The stakes c depend on
alpha and the number of rows alone. The average over several stakes is such a bet, too; each of them is the best one for
another standard deviation (Waudby-Smith and Ramdas 2024, Journal of the Royal Statistical Society B 86:1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10_000
_DEVIATIONS = np.array([0.4, 0.2, 0.1, 0.05])
_STEPS = 30
# Stakes of at most this share of what one row can lose: no single row ends the bet.
_LARGEST = 0.9


@dataclass(frozen=True)
class Losses:
    """Losses of many rows, each between 0 and 1.

    Attributes:
        counts: Number of losses in each of `BINS` equal parts of [0, 1].
        mean: Their mean; None without rows.
    """

    counts: npt.NDArray[np.int64]
    mean: float | None

    @property
    def rows(self) -> int:
        """Number of losses."""
        return int(self.counts.sum())


def binned(losses: npt.NDArray[np.float64]) -> Losses:
    """Count losses in bins.

    Raises:
        ValueError: A loss is not between 0 and 1.
    """
    if not ((losses >= 0) & (losses <= 1)).all():
        raise ValueError("A loss is not between 0 and 1.")
    at = np.minimum((losses * BINS).astype(np.int64), BINS - 1)
    return Losses(np.bincount(at, minlength=BINS), float(losses.mean()) if len(losses) else None)


def lower_bound(losses: Losses, alpha: float) -> float:
    """A bound that the expected loss is below with probability `alpha` at most; 0 without rows.

    Each loss counts as the lower end of its bin, which can only lower the bound.
    """
    at = np.flatnonzero(losses.counts)
    if not len(at):
        return 0.0
    counts, values = losses.counts[at].astype(np.float64), at / BINS
    stakes = _stakes(losses.rows, alpha)

    def log_won(mean: float) -> float:
        bets = np.minimum(stakes, _LARGEST / mean) if mean > 0 else stakes
        return _log_mean(np.log1p(bets[:, None] * (values - mean)) @ counts)

    return _largest_refuted(log_won, float(values @ counts / losses.rows), alpha)


def upper_bound(mean: float, deviation: float, rows: int, alpha: float) -> float:
    """A bound that the expected loss exceeds with probability `alpha` at most, from mean and standard deviation alone.

    It is an empirical Bernstein bound: log(1 + y) >= y - y^2 (-log(1 - c) - c) / c^2 for y >= -c (Fan, Grama and Liu
    2015) replaces the product over the rows by what mean and standard deviation say of it.
    """
    stakes = np.minimum(_stakes(rows, alpha), 0.5)
    price = -np.log1p(-stakes) - stakes

    def log_won(mirrored: float) -> float:
        distance = (1 - mean) - mirrored
        return _log_mean(rows * (stakes * distance - price * (deviation**2 + distance**2)))

    return 1 - _largest_refuted(log_won, 1 - mean, alpha)


def _stakes(rows: int, alpha: float) -> npt.NDArray[np.float64]:
    stakes: npt.NDArray[np.float64] = math.sqrt(-2 * math.log(alpha) / rows) / _DEVIATIONS
    return stakes


def _log_mean(logs: npt.NDArray[np.float64]) -> float:
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def _largest_refuted(log_won: Callable[[float], float], mean: float, alpha: float) -> float:
    """The largest expected value, below the observed one, that a bet against it refutes; 0 if it refutes none."""
    low, high, wanted = 0.0, mean, -math.log(alpha)
    if log_won(low) < wanted:
        return 0.0
    # What is won falls as the expected value rises.
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if log_won(middle) >= wanted else (low, middle)
    return low

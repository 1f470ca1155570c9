"""AUC of labelled scores with DeLong's variance, by midranks (DeLong 1988; Sun and Xu 2014). Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.quality.interval import Interval, normal

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve.

    Attributes:
        value: The area: share of pairs of a positive and a negative in the right order, ties as half a pair.
        variance: DeLong's variance; None with fewer than two rows of a class.
    """

    value: float
    variance: float | None

    @property
    def interval(self) -> Interval:
        """The area with its 95 % interval; without one if the variance is zero, as for a perfect order."""
        return normal(self.value, self.variance, most=1.0) if self.variance else Interval(self.value)


def area(labels: npt.NDArray[np.bool_], scores: Floats) -> Area | None:
    """The AUC and its variance, from three rankings instead of all pairs.

    Args:
        labels: True labels, one a row.
        scores: Scores of the rows.

    Returns:
        The area; None if all labels are of one class.
    """
    positive, negative = scores[labels], scores[~labels]
    m, n = len(positive), len(negative)
    if not m or not n:
        return None
    ranks = midranks(scores)
    # Share of negatives that each positive beats, and of positives that each negative is beaten by.
    beats = (ranks[labels] - midranks(positive)) / n
    beaten = 1 - (ranks[~labels] - midranks(negative)) / m
    variance = float(beats.var(ddof=1) / m + beaten.var(ddof=1) / n) if min(m, n) > 1 else None
    return Area(float(beats.mean()), variance)


def midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    shared = np.cumsum(sizes) - (sizes - 1) / 2
    found: Floats = shared[group]
    return found

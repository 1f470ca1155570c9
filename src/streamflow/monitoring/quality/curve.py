"""The calibration curve of labelled scores, by parts of equal size. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_ROWS = 10
"""Smallest number of rows in a part, so that none shows a person."""


@dataclass(frozen=True)
class Part:
    """Rows with similar scores.

    Attributes:
        rows: Number of rows.
        score: Their mean score.
        positives: Share of them whose label is positive.
    """

    rows: int
    score: float
    positives: float


def calibration_curve(
    labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64], parts: int = 10
) -> tuple[Part, ...]:
    """Compare the mean score with the share of positives, from the lowest scores to the highest.

    Args:
        labels: True labels, one a row.
        scores: Scores of the rows.
        parts: Largest number of parts; there are fewer if one would have less than `LEAST_ROWS` rows.

    Returns:
        The parts; none if there are fewer than `LEAST_ROWS` rows.
    """
    parts = min(parts, len(scores) // LEAST_ROWS)
    if not parts:
        return ()
    order = np.argsort(scores, kind="stable")
    return tuple(
        Part(len(inside), float(scores[inside].mean()), float(labels[inside].mean()))
        for inside in np.array_split(order, parts)
    )

"""Describe the scores of the holdout by counts and losses, the reference for the months that the version scores. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 200
"""Number of bins of equal width that the scores are counted in."""

_LEAST = 1e-15
"""Distance from 0 and 1 that a probability keeps, so that its logarithm is finite."""


def describe(labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Count scores by label, and describe their losses.

    A count names nobody: which row a score belongs to is kept nowhere but in the training set itself.

    Args:
        labels: Labels of the holdout, one per row.
        probabilities: Scores of the same rows.

    Returns:
        `rows`, `positives`, `bins` (positives and negatives in each of `BINS` bins of equal width, lowest first) and
        `losses`: mean and standard deviation over the rows of `brier` and `log_loss` (in nats).
    """
    which = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    positives = np.bincount(which[labels], minlength=BINS)
    negatives = np.bincount(which[~labels], minlength=BINS)
    return {
        "rows": len(labels),
        "positives": int(labels.sum()),
        "bins": [[int(p), int(n)] for p, n in zip(positives, negatives, strict=True)],
        "losses": {name: _mean_and_deviation(loss) for name, loss in losses(labels, probabilities).items()},
    }


def losses(
    labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]
) -> Mapping[str, npt.NDArray[np.float64]]:
    """Loss of each row: `brier`, the squared error of the probability, and `log_loss`, in nats."""
    inside = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return {
        "brier": (probabilities - labels) ** 2,
        "log_loss": -np.log(np.where(labels, inside, 1 - inside)),
    }


def _mean_and_deviation(loss: npt.NDArray[np.float64]) -> list[float]:
    return [float(loss.mean()), float(loss.std(ddof=1)) if len(loss) > 1 else 0.0]

"""Brier losses of scores: by labels, and expected from the scores alone. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.harm import bounds
from streamflow.monitoring.harm.bounds import Losses


def realized(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> Losses:
    """Losses of scores whose labels are known."""
    return bounds.binned((probabilities - labels) ** 2)


def estimated(probabilities: npt.NDArray[np.float64]) -> Losses:
    """Losses expected from scores, if of the rows with score p a share of p is positive, as on the holdout.

    This holds as long as only the inputs change. Where the label has come to depend on the inputs in another way, no
    score tells.
    """
    return bounds.binned(probabilities * (1 - probabilities))

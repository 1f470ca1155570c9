"""The population stability index (PSI), and what it is expected to be without any drift."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BINS = 10
"""Bins of a number: the deciles of the reference."""


def psi(reference: npt.NDArray[np.integer], current: npt.NDArray[np.integer]) -> float:
    """The index of two samples by their counts in the same bins; half a row is added to each bin. Pure."""
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    q = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(((q - p) * np.log(q / p)).sum())


def psi_without_drift(bins: int, reference_rows: int, rows: int) -> float:
    """Expectation of the index of two samples of one distribution: (B - 1) (1/n + 1/m). Pure."""
    return (bins - 1) * (1 / reference_rows + 1 / rows)

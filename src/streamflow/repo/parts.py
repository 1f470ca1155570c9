"""The parts of a slice: which part a value belongs to, and when a part is large enough to be judged. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from streamflow.repo.declarations import Slice

UNKNOWN = "unknown"

LEAST_OF_A_CLASS = 10
"""Rows of the rarer class below which an AUC says nothing."""

LEAST_ROWS = 50
"""Rows of a part below which its AUC says nothing."""

TOO_FEW = f"fewer than {LEAST_ROWS} rows, or than {LEAST_OF_A_CLASS} of a class"
"""Why a part has no AUC."""


def part(item: Slice, value: Any) -> str:
    """The part a value belongs to: the value itself, or its band."""
    if value is None:
        return UNKNOWN
    if not item.bands:
        return str(value)
    return band(item.bands, float(value))


def band(bounds: Sequence[float], value: float) -> str:
    """The band of a number: `under 12`, `12 to 24`, `48 and more`; a bound belongs to the band above it."""
    if value < bounds[0]:
        return f"under {bounds[0]:g}"
    for low, high in itertools.pairwise(bounds):
        if value < high:
            return f"{low:g} to {high:g}"
    return f"{bounds[-1]:g} and more"


def enough(rows: int, positives: float) -> bool:
    """Whether the AUC of a part says anything.

    Args:
        rows: Rows of the part.
        positives: Those whose label is True, or their expected number.
    """
    return rows >= LEAST_ROWS and min(positives, rows - positives) >= LEAST_OF_A_CLASS

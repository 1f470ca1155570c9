"""The AUC by slice, under the gate's rule of which parts are large enough. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.quality.interval import Interval
from streamflow.repo import parts

OTHERS = "others"
"""Name of the small parts together."""

_LEAST_SHOWN = 10
"""Smallest number of rows in a part that is shown by itself."""


@dataclass(frozen=True)
class Owners:
    """Which part of a slice each row belongs to.

    Attributes:
        names: Names of the parts.
        codes: Of each row, the position of its part in `names`.
    """

    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]

    def of(self, rows: npt.NDArray[np.bool_]) -> Owners:
        """The owners of some of the rows."""
        return Owners(self.names, self.codes[rows])


@dataclass(frozen=True)
class Part:
    """One part of the rows.

    Attributes:
        slice: Name of the slice, as the feature repo declares it.
        value: Which part of it; `others` for all parts of fewer than ten rows together.
        rows: Rows of the part.
        auc: Its AUC; None if it is too small.
        low: Lower end of the AUC's 95 % interval.
        high: Upper end of the AUC's 95 % interval.
        why: Why there is no AUC; "" if there is one.
    """

    slice: str
    value: str
    rows: int
    auc: float | None
    low: float | None
    high: float | None
    why: str


def by_slice(
    owners: Mapping[str, Owners],
    positives: npt.NDArray[np.float64],
    auc: Callable[[npt.NDArray[np.bool_]], Interval | None],
) -> tuple[Part, ...]:
    """The AUC of each part.

    Args:
        owners: For each slice, the part that each row belongs to.
        positives: Of each row, whether its label is positive, or the probability that it is.
        auc: Computes the AUC of the rows of a mask.
    """
    found = []
    for name, values in owners.items():
        for value, inside in _masks(values):
            rows, expected = int(inside.sum()), float(positives[inside].sum())
            area = auc(inside) if parts.enough(rows, expected) else None
            why = "" if area else parts.TOO_FEW
            low, high = (area.low, area.high) if area else (None, None)
            found.append(Part(name, value, rows, area.value if area else None, low, high, why))
    return tuple(found)


def _masks(owners: Owners) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """The rows of each part, by name; parts that are too small to be shown together, if they are enough then."""
    sizes = np.bincount(owners.codes, minlength=len(owners.names))
    shown = sorted(np.flatnonzero(sizes >= _LEAST_SHOWN), key=lambda at: owners.names[at])
    masks = [(owners.names[at], owners.codes == at) for at in shown]
    others = (sizes < _LEAST_SHOWN)[owners.codes] if len(owners.names) else np.zeros(0, dtype=bool)
    return masks + [(OTHERS, others)] * (int(others.sum()) >= _LEAST_SHOWN)

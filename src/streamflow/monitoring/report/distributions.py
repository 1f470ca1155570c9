"""Both distributions of a feature in bins or classes, none of which shows a few people. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.monitoring.report.rounding import figure
from streamflow.monitoring.report.verdicts import Feature

LEAST_ROWS = 10
"""A bin with fewer rows is merged with its neighbour, a class with the other small ones, so that none shows a person."""
MOST_CLASSES = 12
"""Classes that are shown; the smaller ones are shown as one."""
OTHERS = "all others"


@dataclass(frozen=True)
class Bin:
    """A bin or a class, and the share of the rows of each side in it.

    Attributes:
        label: Its bounds, or the name of the class.
        reference: Share of the training set.
        current: Share of the month.
        low: Lower bound; None for a class, and where it is open.
    """

    label: str
    reference: float
    current: float
    low: float | None = None


@dataclass(frozen=True)
class _Part:
    low: float | None
    high: float | None
    reference: float
    current: float

    def with_next(self, other: _Part) -> _Part:
        return _Part(self.low, other.high, self.reference + other.reference, self.current + other.current)


def bins_of(feature: Feature) -> tuple[Bin, ...]:
    """The bins of a number, in the order of their bounds; none if none are recorded, or if there are too few rows."""
    recorded = feature.detail.get("bins")
    if not isinstance(recorded, Mapping):
        return ()
    sides = _shares(recorded)
    bounds = [_number(edge) for edge in recorded.get("edges", ())]
    if sides is not None and len(bounds) == len(sides[0]) - 1:
        bounds = [None, *bounds, None]
    if sides is None or len(bounds) != len(sides[0]) + 1:
        return ()
    parts = [_Part(*found) for found in zip(bounds, bounds[1:], *sides, strict=False)]
    merged = _merged(parts, feature)
    return tuple(Bin(_bounds(part), part.reference, part.current, part.low) for part in merged)


def classes_of(feature: Feature) -> tuple[Bin, ...]:
    """The classes of a category, the largest of the training set first; none are recorded of too few rows."""
    names = feature.detail.get("classes")
    sides = _shares(feature.detail)
    if (
        not isinstance(names, Sequence)
        or isinstance(names, str)
        or sides is None
        or len(names) != len(sides[0])
    ):
        return ()
    found = [Bin(_name(name), *pair) for name, pair in zip(names, zip(*sides, strict=True), strict=True)]
    found.sort(key=lambda item: (-item.reference, -item.current, item.label))
    others = [item for item in found if item.label == OTHERS or _is_small(item, feature)]
    kept = [item for item in found if item not in others]
    while len(kept) > MOST_CLASSES or (kept and others and _is_small(_pool(others), feature)):
        others.append(kept.pop())
    if others and not _is_small(_pool(others), feature):
        kept.append(_pool(others))
    return tuple(kept)


def _name(value: object) -> str:
    if value is None:
        return "no value"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pool(items: Sequence[Bin]) -> Bin:
    label = items[0].label if len(items) == 1 else OTHERS
    return Bin(label, sum(item.reference for item in items), sum(item.current for item in items))


def _merged(parts: list[_Part], feature: Feature) -> list[_Part]:
    """Merge each part with few rows with the next one, and the last with the one before it."""
    found: list[_Part] = []
    for part in parts:
        if found and _is_small(found[-1], feature):
            found[-1] = found[-1].with_next(part)
        else:
            found.append(part)
    while len(found) > 1 and _is_small(found[-1], feature):
        last = found.pop()
        found[-1] = found[-1].with_next(last)
    return [] if found and _is_small(found[0], feature) else found


def _is_small(part: _Part | Bin, feature: Feature) -> bool:
    """Whether a side has a few rows in a part; no rows at all show nobody."""
    sides = ((part.reference, feature.reference_rows), (part.current, feature.rows))
    return any(0 < round(share * rows) < LEAST_ROWS for share, rows in sides)


def _shares(recorded: Mapping[str, Any]) -> tuple[list[float], list[float]] | None:
    """The shares of the training set and of the month; None unless both are lists of as many shares."""
    found = []
    for side in ("reference", "current"):
        shares = [_number(share) for share in recorded.get(side) or ()]
        if not shares or any(share is None or not 0 <= share <= 1 + 1e-9 for share in shares):
            return None
        found.append([share for share in shares if share is not None])
    return (found[0], found[1]) if len(found[0]) == len(found[1]) else None


def _number(value: object) -> float | None:
    """A finite number; None for what stands for an open end."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None  # type: ignore[arg-type]


def _bounds(part: _Part) -> str:
    if part.low is None:
        return "all values" if part.high is None else f"below {figure(part.high)}"
    return (
        f"{figure(part.low)} and more" if part.high is None else f"{figure(part.low)} to {figure(part.high)}"
    )

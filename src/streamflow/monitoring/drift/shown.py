"""Both distributions of a feature as they are recorded: shares by bin or class, none of which has a few rows. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streamflow.monitoring.drift.distributions import (
    Counts,
    Floats,
    TwoCategories,
    TwoNumbers,
    bin_counts,
)

LEAST_ROWS = 10
"""A side has no rows in a bin or class, or at least so many."""
OTHERS = "all others"

_BINS = 20
_DIGITS = 3


def sides(both: TwoNumbers | TwoCategories) -> dict[str, Any]:
    """The shares of both sides, by bin of a number or by class of a category; empty where all would be a few rows."""
    if isinstance(both, TwoCategories):
        return _classes(both.names, both.reference, both.current)
    edges, one, two = bin_counts(both.reference, both.current, _BINS)
    return _bins(edges, one, two, both.reference.sd)


def _bins(edges: Floats, one: Counts, two: Counts, sd: float) -> dict[str, Any]:
    starts, kept = [0], (int(one[0]), int(two[0]))
    # From the left: a bin with a few rows takes the next one in.
    for at in range(1, len(one)):
        if _few(*kept):
            kept = (kept[0] + int(one[at]), kept[1] + int(two[at]))
        else:
            starts.append(at)
            kept = (int(one[at]), int(two[at]))
    while len(starts) > 1 and _few(int(one[starts[-1] :].sum()), int(two[starts[-1] :].sum())):
        starts.pop()
    x, y = np.add.reduceat(one, starts), np.add.reduceat(two, starts)
    if _few(int(x[0]), int(y[0])):
        return {}
    inner = [_rounded(float(edges[at - 1]), sd) for at in starts[1:]]
    return {"bins": {"edges": [None, *inner, None], "reference": _shares(x), "current": _shares(y)}}


def _classes(names: tuple[str, ...], one: Counts, two: Counts) -> dict[str, Any]:
    order = sorted(
        range(len(names)), key=lambda at: (_few(int(one[at]), int(two[at])), -int(one[at] + two[at]))
    )
    kept = [at for at in order if not _few(int(one[at]), int(two[at]))]
    others = [at for at in order if at not in kept]
    # Shares add up to one, so a class that is left out could be computed.
    while others and kept and _few(int(one[others].sum()), int(two[others].sum())):
        others.append(kept.pop())
    if others and _few(int(one[others].sum()), int(two[others].sum())):
        return {}
    shown = [names[at] for at in kept] + ([OTHERS] if others else [])
    sums = [
        [int(side[at]) for at in kept] + ([int(side[others].sum())] if others else []) for side in (one, two)
    ]
    return {"classes": shown, "reference": _shares(np.array(sums[0])), "current": _shares(np.array(sums[1]))}


def _few(*rows: int) -> bool:
    return any(0 < count < LEAST_ROWS for count in rows)


def _shares(counts: Counts) -> list[float]:
    return [float(share) for share in counts / counts.sum()]


def _rounded(edge: float, sd: float) -> float:
    return round(edge, _DIGITS - math.floor(math.log10(sd)) - 1)

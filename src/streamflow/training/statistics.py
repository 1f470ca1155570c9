"""Describe the training rows by figures of which none is a single person's value.

A version's contract keeps these figures for as long as the version exists, so an erasure could not take a person out of
them. Two rules keep people out of the deciles: the first and the last one have `CROWD` rows at or beyond them, and all
are rounded, but for a value that so many share. Mean and standard deviation are those of the values between the outer
deciles, so that a single extreme value cannot be computed from them. Of fewer values than that takes, only the number is
kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from streamflow.model_version.contract import Feature

CROWD = 10
"""Number of rows at or beyond the first and the last decile."""

_STEPS = 100
"""Least number of rounding steps between the first and the last decile."""


def describe(features: Sequence[Feature], x: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    """Compute statistics of each feature, the reference that drift is measured against.

    Args:
        features: Features to describe.
        x: Raw features of the training rows.

    Returns:
        Statistics by feature. Each has `rows` and `absent`, the number of nulls. A number also has `mean`, `std` and
        `deciles`, 11 rounded values from the low end to the high end, unless it has too few values. A string or boolean
        has `counts`, the number of rows by value.
    """
    result: dict[str, Mapping[str, Any]] = {}
    for feature in features:
        column = x[feature.name]
        absent = int(column.isna().sum())
        if feature.type in ("string", "bool"):
            counts = {str(value): int(count) for value, count in column.value_counts().sort_index().items()}
            result[feature.name] = {"rows": len(column), "absent": absent, "counts": counts}
            continue
        values = np.sort(column.dropna().to_numpy(dtype=float))
        result[feature.name] = {"rows": len(column), "absent": absent, **_numbers(values)}
    return result


def _numbers(values: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Mean, standard deviation and deciles of sorted values; none of them if there is no crowd on either side."""
    if len(values) < 2 * CROWD - 1:
        return {}
    low, high = values[CROWD - 1], values[-CROWD]
    if low == high:
        shared = int((values == low).sum()) >= CROWD
        value = float(low) if shared else float(f"{low:.1e}")
        return {"mean": value, "std": 0.0, "deciles": [value] * 11}
    between = np.clip(values, low, high)
    return {
        "mean": float(between.mean()),
        "std": float(between.std()),
        "deciles": _rounded(np.quantile(between, np.linspace(0, 1, 11))),
    }


def _rounded(deciles: npt.NDArray[np.float64]) -> list[float]:
    """Round to a power of ten that leaves at least `_STEPS` steps between the first and the last decile."""
    # Of values that a model takes, the width is finite.
    width = float(deciles[-1] - deciles[0])
    digits = -math.floor(math.log10(width / _STEPS))
    return [round(float(value), digits) for value in deciles]

"""Describe the training rows by figures of which none is a single person's value.

A version's contract keeps these figures for as long as the version exists, so an erasure could not take a person out of
them. Two rules keep people out of the deciles: the first and the last one have `CROWD` rows at or beyond them, and every
decile of a column with many values is rounded. Mean and standard deviation are those of the values between the outer
deciles, so that a single extreme value cannot be computed from them.
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
        `deciles`, 11 rounded values from the low end to the high end. A string or boolean has `counts`, the number of
        rows by value.
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
    """Mean, standard deviation and deciles of sorted values; none of them if there are no values."""
    if not len(values):
        return {}
    # With few rows, the crowd on either side is half of them.
    beyond = min(CROWD - 1, (len(values) - 1) // 2)
    between = np.clip(values, values[beyond], values[-1 - beyond])
    return {
        "mean": float(between.mean()),
        "std": float(between.std()),
        "deciles": _rounded(np.quantile(between, np.linspace(0, 1, 11))),
    }


def _rounded(deciles: npt.NDArray[np.float64]) -> list[float]:
    """Round to a power of ten that leaves at least `_STEPS` steps between the first and the last decile."""
    width = float(deciles[-1] - deciles[0])
    # A column with one value has nothing to round by, and everybody has this value.
    if not 0 < width < math.inf:
        return [float(value) for value in deciles]
    digits = -math.floor(math.log10(width / _STEPS))
    return [round(float(value), digits) for value in deciles]

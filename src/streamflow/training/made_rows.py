"""Make the rows that a model version is checked with, so that no version holds a customer's row.

The rows are drawn from the schema, the statistics of the training rows and the thresholds of the estimator's trees, and
from nothing else. Each feature has a list of levels: every category, or the deciles and pairs of neighbouring numbers on
either side of a threshold, and null where it is a value. Every row takes one level of each feature, in orders that differ
from feature to feature, so every level of every feature is in some row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from streamflow import encoding
from streamflow.model_version.contract import Feature
from streamflow.training import calibration

_SEED = 0
"""Seed of the orders: a training that is repeated must make the same rows."""

_BOTH = (False, True)


def make(
    features: Sequence[Feature],
    statistics: Mapping[str, Mapping[str, Any]],
    pipeline: Pipeline,
    count: int,
) -> list[list[Any]]:
    """Make rows of feature values, with None for null.

    The same arguments give the same rows.

    Args:
        features: Schema of the features; the values of a row are in this order.
        statistics: Statistics of each feature in the training rows, from `training.statistics.describe`.
        pipeline: Fitted pipeline, whose thresholds the rows lie around.
        count: Number of rows. There are more if a feature has more corners: categories, ends and null.

    Returns:
        The rows.
    """
    thresholds = _thresholds(pipeline, features)
    corners = {feature.name: _corners(feature, statistics[feature.name]) for feature in features}
    rows = max(count, *(len(values) for values in corners.values()))
    random = np.random.default_rng(_SEED)
    columns = []
    for feature in features:
        levels = list(corners[feature.name])
        if feature.type in ("int", "float"):
            levels += _between(
                feature,
                statistics[feature.name].get("deciles", []),
                thresholds.get(feature.name, []),
                rows - len(levels),
            )
        levels = levels[:rows]
        columns.append([levels[i] for i in random.permutation(np.arange(rows) % len(levels))])
    return [list(row) for row in zip(*columns, strict=True)]


def frame(features: Sequence[Feature], rows: Sequence[Sequence[Any]], like: pd.DataFrame) -> pd.DataFrame:
    """Turn made rows into a frame with the dtypes of the training rows.

    Args:
        features: Schema of the features.
        rows: Rows from `make`.
        like: Raw features of the training rows.
    """
    columns = {feature.name: [row[i] for row in rows] for i, feature in enumerate(features)}
    return pd.DataFrame(columns, dtype=object).astype({name: like[name].dtype for name in columns})


def _corners(feature: Feature, statistics: Mapping[str, Any]) -> list[Any]:
    """The levels that no set of rows may lack: categories, both truth values, ends, and null where it is a value."""
    if feature.type == "string":
        return list(feature.categories)
    null = [None] if feature.nullable else []
    if feature.type == "bool":
        return [*_BOTH, *null]
    deciles = statistics.get("deciles") or [0.0]
    return [*dict.fromkeys(_typed(feature, value) for value in (deciles[0], deciles[-1])), *null]


def _between(
    feature: Feature, deciles: Sequence[float], thresholds: Sequence[float], count: int
) -> list[int | float]:
    """At most so many levels between the ends: inner deciles, then the neighbours of evenly chosen thresholds.

    A threshold beyond the ends would say something about the few people there, so it gets no level.
    """
    inside = [value for value in thresholds if deciles and deciles[0] <= value <= deciles[-1]]
    pairs = max(0, count - max(0, len(deciles) - 2)) // 2
    chosen = np.unique(np.linspace(0, len(inside) - 1, num=min(pairs, len(inside)), dtype=int))
    neighbours = [side for at in chosen for side in _neighbours(feature, inside[at])]
    found = [*(_typed(feature, value) for value in deciles[1:-1]), *neighbours]
    return list(dict.fromkeys(found))[: max(0, count)]


def _neighbours(feature: Feature, threshold: float) -> tuple[int | float, int | float]:
    """The largest value that a model sees at or below the threshold, and the smallest above it."""
    if feature.type == "int":
        return int(np.floor(threshold)), int(np.floor(threshold)) + 1
    # Models take float32, so the two neighbours are neighbours in float32.
    below = np.float32(threshold)
    if float(below) > threshold:
        below = np.nextafter(below, np.float32(-np.inf))
    return float(below), float(np.nextafter(below, np.float32(np.inf)))


def _typed(feature: Feature, value: float) -> int | float:
    return round(value) if feature.type == "int" else float(value)


def _thresholds(pipeline: Pipeline, features: Sequence[Feature]) -> dict[str, list[float]]:
    """Thresholds of the trees by feature, sorted; empty if the classifier has no trees."""
    # The first columns are numbers as they are; the others are indicators, whose values are all corners.
    names = [*encoding.numbers(features), *encoding.nullables(features)]
    members = getattr(calibration.before(pipeline[-1]), "estimators_", [])
    # A list of pipelines or forests would become an array of their parts.
    members = members.ravel() if isinstance(members, np.ndarray) else members
    trees = [tree.tree_ for tree in members if hasattr(tree, "tree_")]
    if not trees:
        return {}
    columns: npt.NDArray[np.int64] = np.concatenate([tree.feature for tree in trees])
    values: npt.NDArray[np.float64] = np.concatenate([tree.threshold for tree in trees])
    return {name: np.unique(values[columns == at]).tolist() for at, name in enumerate(names)}

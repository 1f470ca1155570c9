"""Find training rows inside a fitted estimator: nearest neighbours and support vectors are customers' rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

_DEEPEST = 8
"""Levels of objects within objects that are searched."""


def count(pipeline: Pipeline, x: pd.DataFrame) -> int:
    """Return the largest number of rows that one array of the estimator has in common with the training rows.

    Arrays with fewer than half of their rows in common are not counted: centres and means may be equal to a row by
    coincidence.

    Args:
        pipeline: Fitted pipeline.
        x: Raw features of the training rows.
    """
    matrix: Any = x
    while isinstance(pipeline, Pipeline):
        matrix = pipeline[:-1].transform(matrix) if len(pipeline) > 1 else matrix
        pipeline = pipeline[-1]
    rows = {row.tobytes() for row in np.asarray(matrix, dtype=np.float32)}
    width = np.shape(matrix)[1]
    most = 0
    for array in _arrays(pipeline, _DEEPEST, set()):
        if array.ndim == 2 and array.shape[1] == width and np.issubdtype(array.dtype, np.number):
            same = sum(row.tobytes() in rows for row in array.astype(np.float32))
            most = max(most, same if 2 * same >= len(array) else 0)
    return most


def _arrays(thing: Any, depth: int, seen: set[int]) -> Iterator[npt.NDArray[Any]]:
    """Every array in the attributes of an object and of the objects within it."""
    if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType):
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray) and thing.dtype != object:
        yield thing
        return
    inner: Iterable[Any] = getattr(thing, "__dict__", {}).values()
    if isinstance(thing, dict):
        inner = thing.values()
    elif isinstance(thing, list | tuple | np.ndarray):
        inner = np.ravel(thing) if isinstance(thing, np.ndarray) else thing
    for item in inner if depth else ():
        yield from _arrays(item, depth - 1, seen)

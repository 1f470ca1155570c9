"""Find training rows inside a fitted estimator: nearest neighbours and support vectors are customers' rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyarrow import compute as pc
from sklearn.pipeline import Pipeline

_CHUNK_ROWS = 65_536
"""Training rows that are compared at a time."""

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
    transformers, classifier = _parts(pipeline)
    starts = range(0, len(x), _CHUNK_ROWS)
    matrices = (_matrix(transformers, x.iloc[start : start + _CHUNK_ROWS]) for start in starts)
    arrays: list[npt.NDArray[Any]] | None = None
    same: list[npt.NDArray[np.bool_]] = []
    for matrix in matrices:
        if arrays is None:
            arrays = [array for array in _arrays(classifier, _DEEPEST, set()) if _is_like(array, matrix)]
            same = [np.zeros(len(array), dtype=np.bool_) for array in arrays]
        rows = _as_bytes(matrix)
        for i, array in enumerate(arrays):
            same[i] |= pc.is_in(_as_bytes(array), value_set=rows).to_numpy(zero_copy_only=False)
    counts = [(int(found.sum()), len(found)) for found in same]
    return max((count for count, size in counts if 2 * count >= size), default=0)


def _parts(pipeline: Pipeline) -> tuple[list[Pipeline], Any]:
    """The transformers before a classifier, those of pipelines within the pipeline too, and the classifier."""
    transformers: list[Pipeline] = []
    part: Any = pipeline
    while isinstance(part, Pipeline):
        if len(part) > 1:
            transformers.append(part[:-1])
        part = part[-1]
    return transformers, part


def _matrix(transformers: Sequence[Pipeline], x: pd.DataFrame) -> npt.NDArray[Any]:
    matrix: Any = x
    for transformer in transformers:
        matrix = transformer.transform(matrix)
    return np.asarray(matrix)


def _is_like(array: npt.NDArray[Any], matrix: npt.NDArray[Any]) -> bool:
    """Whether the rows of an array could be those of the matrix."""
    return array.ndim == 2 and array.shape[1] == matrix.shape[1] and np.issubdtype(array.dtype, np.number)


def _as_bytes(rows: npt.NDArray[Any]) -> pa.Array:
    """Each row in single precision, as its bytes."""
    single = np.ascontiguousarray(rows, dtype=np.float32)
    width = pa.binary(single.shape[1] * single.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(width, len(single), [None, pa.py_buffer(single)])


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

"""Parse a column of text. An empty cell is null; everything else must be exactly of the column's type.

    int     12  -3  +4  12.0 (some tools write whole numbers so in a column with gaps); 64 bits
    float   12  1.5  .5  1e-3; finite
    bool    True true TRUE t T 1, False false FALSE f F 0
    date    2024-01-31
    string  unchanged

Spaces around a value are part of it. Each type has a fast parser for a whole column and a slow one for a single cell.
The fast one only takes columns on which both agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streamflow import types
from streamflow.types import ColumnType

ARROW_TYPES = {item.name: pa.type_for_alias(item.arrow) for item in types.TYPES}
TRUE = ("True", "true", "TRUE", "t", "T", "1")
FALSE = ("False", "false", "FALSE", "f", "F", "0")
_BOOLS = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)

_INT = re.compile(r"[+-]?[0-9]+(\.0*)?", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FIRST_DATE, _LAST_DATE = date(1678, 1, 1), date(2261, 12, 31)  # what datetime64[ns] can hold

_FAST: dict[ColumnType, str] = {
    "int": r"^-?[0-9]{1,18}$",
    "float": r"^-?[0-9]{1,15}(\.[0-9]{1,17})?$",
    "date": r"^(1[7-9]|2[01])[0-9]{2}-[0-9]{2}-[0-9]{2}$",
}


class _BadCellError(ValueError):
    """A cell is not of its column's type; the message says why."""


def column(kind: ColumnType, text: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Parse a column.

    Args:
        kind: Type of the column.
        text: Its cells; null where empty.

    Returns:
        The values, null where empty or bad; and what is wrong with each bad cell, by its index.
    """
    if kind == "string":
        return text, {}
    fast = _fast(kind, text)
    if fast is not None:
        return fast, {}
    values: list[Any] = []
    bad: dict[int, str] = {}
    for index, item in enumerate(text.to_pylist()):
        try:
            values.append(None if item is None else _CELLS[kind](item))
        except _BadCellError as error:
            values.append(None)
            bad[index] = str(error)
    return pa.array(values, ARROW_TYPES[kind]), bad


def _fast(kind: ColumnType, text: pa.Array) -> pa.Array | None:
    """The values if all cells are written in the plain way that Arrow parses as the slow parser does; else None."""
    if kind == "bool":
        codes = pc.index_in(text, pa.array([*TRUE, *FALSE]))
        if codes.null_count > text.null_count:
            return None
        return pc.less(codes, len(TRUE))
    if not pc.all(pc.match_substring_regex(text, _FAST[kind]), min_count=0).as_py():
        return None
    try:
        return pc.cast(text, ARROW_TYPES[kind])
    except pa.ArrowInvalid:
        return None


_LONGEST_INT = 19
"""Digits of the largest number of 64 bits."""


def _int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise _BadCellError("is not a whole number")
    digits = text.partition(".")[0]
    # Counted before the conversion: Python refuses to convert thousands of digits.
    if len(digits.lstrip("+-0")) > _LONGEST_INT or not -(2**63) <= int(digits) < 2**63:
        raise _BadCellError("is a whole number beyond 64 bits")
    return int(digits)


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise _BadCellError("is not a finite number" if _NOT_FINITE.fullmatch(text) else "is not a number")
    value = float(text)
    if not math.isfinite(value):
        raise _BadCellError("is not a finite number")
    return value


def _bool(text: str) -> bool:
    if text not in _BOOLS:
        raise _BadCellError("is neither True nor False")
    return _BOOLS[text]


def _date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise _BadCellError("is not a date like 2024-01-31")
    try:
        value = date.fromisoformat(text)
    except ValueError:
        raise _BadCellError("is a date that does not exist") from None
    if not _FIRST_DATE <= value <= _LAST_DATE:
        raise _BadCellError(f"is not between {_FIRST_DATE} and {_LAST_DATE}")
    return value


_CELLS: dict[ColumnType, Callable[[str], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "string": str,
    "date": _date,
}

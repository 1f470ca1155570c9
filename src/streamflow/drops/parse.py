"""Parse a column of text. An empty cell is null; any other text must match the column's type exactly.

    int     12  -3  +4  12.0 (pandas, for one, writes whole numbers so in a column with gaps); 64 bits
    float   12  1.5  .5  1e-3; finite
    bool    True true TRUE t T 1, False false FALSE f F 0
    date    2024-01-31
    string  unchanged

Spaces are not stripped. Each type has a fast parser for whole columns and a slow one for single cells, which
also explains what is wrong. The fast one handles only columns for which both are known to agree.
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
FIRST_DATE, LAST_DATE = date(1678, 1, 1), date(2261, 12, 31)
"""First and last date that can be read: the whole years within datetime64[ns]."""

# Narrower than what Arrow parses: 18 digits cannot overflow 64 bits, and years stay within datetime64[ns].
_FAST: dict[ColumnType, str] = {
    "int": r"^-?[0-9]{1,18}$",
    "float": r"^-?[0-9]{1,15}(\.[0-9]{1,17})?$",
    "date": r"^(1[7-9]|2[01])[0-9]{2}-[0-9]{2}-[0-9]{2}$",
}


class _BadCellError(ValueError):
    """A cell does not match its column's type; the message says why."""


def column(kind: ColumnType, text: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Parse a column.

    Args:
        kind: Type of the column.
        text: Cells of the column; null where empty.

    Returns:
        The parsed values, null where a cell is empty or invalid; and the error of each invalid cell by index.
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
    """Parse a column with Arrow; return None if the slow parser might disagree on any cell."""
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
"""Number of digits of the largest 64-bit integer."""


def _int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise _BadCellError("is not a whole number")
    digits = text.partition(".")[0]
    # Count digits before converting: int() raises ValueError beyond sys.get_int_max_str_digits().
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
    if not FIRST_DATE <= value <= LAST_DATE:
        raise _BadCellError(f"is not between {FIRST_DATE} and {LAST_DATE}")
    return value


_CELLS: dict[ColumnType, Callable[[str], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "string": str,
    "date": _date,
}

"""Parse a column of text. An empty cell is null; any other text must match the column's type exactly.

    int     12  -3  +4  12.0 (pandas, for one, writes whole numbers so in a column with gaps); 64 bits
    float   12  1.5  .5  1e-3; finite
    bool    True true TRUE t T 1, False false FALSE f F 0
    date    2024-01-31
    string  unchanged

Spaces are not stripped. Each type has a fast parser for whole columns and a slow one for single cells, which
also explains what is wrong. The fast one handles only cells for which both are known to agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

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
    plain = pc.fill_null(_plain(kind, text), fill_value=True)
    if pc.all(plain, min_count=0).as_py():
        values = _fast(kind, text)
    else:
        values = _fast(kind, pc.if_else(plain, text, pa.scalar(None, pa.string())))
    if values is None:
        # A date that does not exist: which one?
        values, plain = pa.nulls(len(text), ARROW_TYPES[kind]), pc.is_null(text)
    slow = np.flatnonzero(~plain.to_numpy(zero_copy_only=False))
    if not len(slow):
        return values, {}
    parsed = [cell(kind, item) for item in text.take(pa.array(slow)).to_pylist()]
    bad = {int(at): error for at, (_, error) in zip(slow, parsed, strict=True) if error is not None}
    found = pa.array([value for value, _ in parsed], ARROW_TYPES[kind])
    return pc.replace_with_mask(values, pc.invert(plain), found), bad


def cell(kind: ColumnType, text: str) -> tuple[Any, str | None]:
    """Parse one cell, whatever its text; return its value, or None and what is wrong."""
    try:
        return _CELLS[kind](text), None
    except _BadCellError as error:
        return None, str(error)


def _plain(kind: ColumnType, text: pa.Array) -> pa.Array:
    """Whether the fast parser may take each cell; null or false where it is empty."""
    if kind == "bool":
        return pc.or_(pc.is_null(text), pc.is_in(text, pa.array([*TRUE, *FALSE])))
    return pc.match_substring_regex(text, _FAST[kind])


def _fast(kind: ColumnType, text: pa.Array) -> pa.Array | None:
    """Parse plain cells with Arrow; return None if one is a date that does not exist."""
    if kind == "bool":
        return pc.less(pc.index_in(text, pa.array([*TRUE, *FALSE])), len(TRUE))
    try:
        return pc.cast(text, ARROW_TYPES[kind])
    except pa.ArrowInvalid:
        return None


def lines(data: bytes, names: Sequence[str], kinds: Mapping[str, ColumnType]) -> pa.Table | None:
    """Parse the columns of lines without quotes, as `column` would.

    Args:
        data: The lines, in UTF-8.
        names: Names of the columns, in the order of their fields.
        kinds: Type of each column.

    Returns:
        The columns in the order of `kinds`; None if Arrow refuses a cell or a line, or might read one otherwise.
    """
    # In a line without commas, Arrow could not tell an empty line from a null.
    if len(names) == 1 and (data.startswith((b"\n", b"\r")) or b"\n\n" in data or b"\n\r" in data):
        return None
    if _stripped(data) or ("int" in kinds.values() and _hexadecimal(data)):
        return None
    table = _csv(data, names, {name: ARROW_TYPES[kind] for name, kind in kinds.items()})
    if table is None:
        return None
    for name, kind in kinds.items():
        if kind == "float" and not pc.all(pc.is_finite(table[name]), min_count=0).as_py():
            return None
        if kind == "date":
            extremes = pc.min_max(table[name])
            first, last = extremes["min"].as_py(), extremes["max"].as_py()
            if first is not None and not FIRST_DATE <= first <= last <= LAST_DATE:
                return None
    return table


def texts(data: bytes, names: Sequence[str]) -> pa.Table:
    """Split lines without quotes, all with one field a name, into columns of text; null where empty."""
    types_of = dict.fromkeys(names, pa.string())
    table = _csv(data, names, types_of) if data else pa.schema(types_of.items()).empty_table()
    if table is None:
        raise AssertionError("lines with one field a name, which cannot be split")
    return table


def _csv(data: bytes, names: Sequence[str], types_of: Mapping[str, pa.DataType]) -> pa.Table | None:
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # One block, so that each column is one array.
            pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1),
            pyarrow.csv.ParseOptions(quote_char=False, double_quote=False, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(
                # The reader of the file has checked it.
                check_utf8=False,
                column_types=types_of,
                include_columns=list(types_of),
                null_values=[""],
                strings_can_be_null=True,
                true_values=TRUE,
                false_values=FALSE,
            ),
        )
    except pa.ArrowInvalid:
        return None


def _stripped(data: bytes) -> bool:
    """Whether a cell begins or ends with a space, which Arrow would strip."""
    if b" " not in data and b"\t" not in data:
        return False
    codes = np.frombuffer(data, np.uint8)
    space = (codes == ord(" ")) | (codes == ord("\t"))
    edge = (codes == ord(",")) | (codes == ord("\n")) | (codes == ord("\r"))
    return bool(space[0] or (space[:-1] & edge[1:]).any() or (edge[:-1] & space[1:]).any())


def _hexadecimal(data: bytes) -> bool:
    """Whether a cell might be a hexadecimal number, which Arrow takes for a whole one."""
    return (b"x" in data and b"0x" in data) or (b"X" in data and b"0X" in data)


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

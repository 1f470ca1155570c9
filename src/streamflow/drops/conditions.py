"""Evaluate the checks of a table's declaration on whole Arrow columns.

pandera decides what a row violates and in which words. A condition only spares it the rows that it would accept: where a
condition holds, pandera's check does; where it does not, pandera is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.repo.declarations import NOT_AFTER_AS_OF
from streamflow.types import ColumnType

Condition = Callable[[Any], Any]
"""Takes a column; returns an array that is true where the condition holds, and true or null where the column is null."""

_COMPARISONS: dict[str, tuple[str, Any]] = {
    "greater_than": ("min_value", pc.greater),
    "greater_than_or_equal_to": ("min_value", pc.greater_equal),
    "less_than": ("max_value", pc.less),
    "less_than_or_equal_to": ("max_value", pc.less_equal),
}
# Patterns that RE2 reads as Python does: no lookaround, no back references, no classes that know Unicode in Python alone.
_CLASS = r"\[(?:[A-Za-z0-9_.:@ /+](?:-[A-Za-z0-9])?)+-?\]"
_SAME_IN_RE2 = re.compile(
    rf"\^?(?:(?:{_CLASS}|[A-Za-z0-9_:@ /-]|\\[.+*?()-])(?:[*+?]|\{{\d{{1,3}}(?:,\d{{0,3}})?\}})?)*(?:\\Z)?",
    re.ASCII,
)
_EXACT = 2**53


def of(
    schema: pandera.DataFrameSchema, kinds: Mapping[str, ColumnType], as_of: date
) -> dict[str, list[Condition]] | None:
    """Translate the checks of each column.

    Args:
        schema: What is declared.
        kinds: Type of each column.
        as_of: Date of the drop.

    Returns:
        The conditions of each column; None if a declared check cannot be translated.
    """
    if schema.checks or schema.parsers or schema.index is not None or schema.coerce:
        return None
    found: dict[str, list[Condition]] = {}
    for name, kind in kinds.items():
        column = schema.columns[name]
        if column.unique or column.regex or column.parsers or column.coerce:
            return None
        conditions = [_condition(check, kind) for check in column.checks]
        if None in conditions:
            return None
        found[name] = [condition for condition in conditions if condition is not None]
        if not column.nullable:
            found[name].append(pc.is_valid)
        if kind == "date" and (column.metadata or {}).get(NOT_AFTER_AS_OF):
            found[name].append(_compared(pc.less_equal, pa.scalar(as_of)))
    return found


def holds(columns: pa.Table, conditions: Mapping[str, list[Condition]]) -> Any:
    """Say for each row whether all conditions hold, as a boolean array of numpy; None if they hold for every row."""
    result = None
    for name, those in conditions.items():
        for condition in those:
            held = condition(columns[name])
            if pc.all(held, min_count=0).as_py():
                continue
            mask = pc.fill_null(held, fill_value=True).to_numpy()
            result = mask if result is None else result & mask
    return result


def _condition(check: pandera.Check, kind: ColumnType) -> Condition | None:
    facts = check.statistics or {}
    if not check.ignore_na or check.groupby is not None:
        return None
    match check.name:
        case "in_range":
            return _range(facts, kind)
        case "isin":
            allowed = list(facts["allowed_values"])
            if kind == "string" and all(type(value) is str for value in allowed):
                return _among(pa.array(allowed, pa.string()))
        case "str_matches" if kind == "string":
            return _matching(facts["pattern"])
        case name if name in _COMPARISONS:
            side, compare = _COMPARISONS[str(name)]
            bound = _bound(facts[side], kind)
            return None if bound is None else _compared(compare, bound)
    return None


def _range(facts: Mapping[str, Any], kind: ColumnType) -> Condition | None:
    low, high = _bound(facts["min_value"], kind), _bound(facts["max_value"], kind)
    if low is None or high is None:
        return None
    above = _compared(pc.greater_equal if facts["include_min"] else pc.greater, low)
    below = _compared(pc.less_equal if facts["include_max"] else pc.less, high)

    def between(column: Any) -> Any:
        # One pass over most columns; comparing takes two, and memory for their results.
        extremes = pc.min_max(column)
        ends = pa.array([extremes["min"].as_py(), extremes["max"].as_py()], column.type)
        if pc.all(pc.and_(above(ends), below(ends)), min_count=0).as_py():
            return pa.array([True])
        return pc.and_(above(column), below(column))

    return between


def _bound(value: Any, kind: ColumnType) -> pa.Scalar | None:
    """What a column is compared with; None if Arrow might compare otherwise than pandas."""
    if kind in {"int", "float"} and type(value) in {int, float} and abs(value) < _EXACT:
        if kind == "float":
            return pa.scalar(float(value))
        return pa.scalar(int(value)) if value == int(value) else None
    if kind == "date":
        try:
            moment = pd.Timestamp(value)
        except (TypeError, ValueError):
            return None
        if moment.tz is None and moment == moment.normalize():
            return pa.scalar(moment.date())
    return None


def _compared(compare: Any, bound: pa.Scalar) -> Condition:
    return lambda column: compare(column, bound)


def _among(allowed: pa.Array) -> Condition:
    # Null is not among the values, and no violation either.
    return lambda column: pc.or_(pc.is_in(column, allowed), pc.is_null(column))


def _matching(pattern: Any) -> Condition | None:
    if not isinstance(pattern, str) or not _SAME_IN_RE2.fullmatch(pattern):
        return None
    translated = "^" + pattern.removeprefix("^").removesuffix(r"\Z")
    if pattern.endswith(r"\Z"):
        translated += r"\z"
    try:
        pc.match_substring_regex(pa.array([""]), translated)
    except pa.ArrowInvalid:
        return None
    return lambda column: pc.match_substring_regex(column, translated)

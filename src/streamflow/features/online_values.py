"""Feast's values as PostgreSQL's: the column of each of Feast's types, what is written to it, and what is read from it.

An array or a set of scalars is an array; a map, a struct, JSON and a nested collection are jsonb, and arrays of the
first three are arrays of jsonb. What such a column cannot hold without a change is refused: NaN and bytes in a map,
a NUL character in JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from feast.errors import FeastError
from feast.protos.feast.types.Value_pb2 import Map, MapList, RepeatedValue, Value
from feast.type_map import (
    NULL_TIMESTAMP_INT_VALUE,
    VALUE_TYPE_TO_PROTO_VALUE_MAP,
    python_values_to_proto_values,
)
from feast.types import Array, FeastType, Set, Struct

from streamflow import types
from streamflow.errors import UsageError

_DOCUMENT = "jsonb"
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_IN_JSON = frozenset(("bool", "int32", "int64", "double", "float", "string"))
_INT64 = range(-(2**63), 2**63)
_NAMES: Mapping[type, str] = {bool: "bool_val", int: "int64_val", float: "double_val", str: "string_val"}
"""Where Feast has a scalar of JSON."""


class UnstorableValueError(FeastError):  # type: ignore[misc]
    """The online store cannot hold a value as it is; a request to Feast's server is answered with 422."""

    def http_status_code(self) -> int:
        """Return 422."""
        return HTTPStatus.UNPROCESSABLE_ENTITY


def column_type(dtype: FeastType) -> str:
    """PostgreSQL type of a Feast type.

    Raises:
        UsageError: There is no column type for it.
    """
    if isinstance(dtype, Struct):
        return _DOCUMENT
    if isinstance(dtype, Array | Set):
        # The rows of an array of arrays have one length in PostgreSQL, and any length in Feast.
        nested = isinstance(dtype.base_type, Array | Set)
        return _DOCUMENT if nested else column_type(dtype.base_type) + "[]"
    try:
        return types.FEAST_COLUMNS[str(dtype)]
    except KeyError:
        raise UsageError(
            f"The online store has no column type for {dtype}.",
            hint=f"Use one of {', '.join(types.FEAST_COLUMNS)}, an Array or Set of one, or a Struct in the feature view.",
        ) from None


def selected(column: str, dtype: FeastType) -> str:
    """SQL that reads a column: documents as text, because a driver's parser would turn 1e30 into an integer."""
    kind = column_type(dtype)
    return f"{column}::{kind.replace(_DOCUMENT, 'text')}" if kind.startswith(_DOCUMENT) else column


def native(value: Value) -> Any:
    """What is written to a column for a Feast value; None if the value is null or empty.

    Raises:
        UnstorableValueError: The column cannot hold the value as it is.
    """
    kind = value.WhichOneof("val")
    if kind in (None, "null_val"):
        return None
    inside = getattr(value, kind)
    if kind == "unix_timestamp_val":
        return _moment(inside)
    if isinstance(inside, Map | RepeatedValue) or kind == "json_val":
        return _text(value)
    return list(_elements(kind, inside)) if hasattr(inside, "val") else inside


def _elements(kind: str, inside: Any) -> Iterable[Any]:
    """What is written to an array for one of Feast's lists or sets."""
    if isinstance(inside, MapList):
        return (_text(Value(map_val=item)) for item in inside.val)
    if kind == "json_list_val":
        return map(_checked, inside.val)
    return map(_moment, inside.val) if kind.startswith("unix_timestamp_") else inside.val


def proto(value: Any, dtype: FeastType) -> Value:
    """The Feast value of what `selected` read from a column."""
    if value is None:
        return Value()
    kind = column_type(dtype)
    if not kind.startswith(_DOCUMENT) and not kind.endswith("[]"):
        made: Value = python_values_to_proto_values([value], dtype.to_value_type())[0]
        return made
    name = VALUE_TYPE_TO_PROTO_VALUE_MAP[dtype.to_value_type()]
    if name == "json_val":
        return Value(json_val=value)
    listed = Value()
    message = getattr(listed, name)
    # An empty message is a value, too.
    message.SetInParent()
    if isinstance(message, Map):
        _fill(message, json.loads(value))
    elif isinstance(message, MapList):
        for item in value:
            _fill(message.val.add(), json.loads(item))
    elif isinstance(message, RepeatedValue):
        message.val.extend(_of_json(item) for item in json.loads(value))
    else:
        message.val.extend(_element(item) for item in value)
    return listed


def _moment(seconds: int) -> datetime | None:
    return None if seconds == NULL_TIMESTAMP_INT_VALUE else datetime.fromtimestamp(seconds, UTC)


def _element(item: Any) -> Any:
    """An element of one of Feast's lists, which has moments as seconds, and numerics and UUIDs as text."""
    if item is None:
        return NULL_TIMESTAMP_INT_VALUE
    if isinstance(item, datetime):
        return int(item.timestamp())
    return item if isinstance(item, bool | int | float | str | bytes) else str(item)


def _text(value: Value) -> str:
    """JSON of a value.

    Raises:
        UnstorableValueError: JSON in PostgreSQL cannot hold the value as it is.
    """
    kind = value.WhichOneof("val")
    if kind in (None, "null_val"):
        return "null"
    inside = getattr(value, kind)
    if isinstance(inside, Map):
        members = (f"{_string(name)}: {_text(item)}" for name, item in sorted(inside.val.items()))
        return "{" + ", ".join(members) + "}"
    if isinstance(inside, MapList):
        return _list(_text(Value(map_val=item)) for item in inside.val)
    if isinstance(inside, RepeatedValue):
        return _list(map(_text, inside.val))
    if kind == "json_val":
        return _checked(inside)
    what = kind.removesuffix("_val")
    if what.removesuffix("_list") not in _IN_JSON:
        raise UnstorableValueError(
            f"A map, a struct or a nested list in the online store cannot hold a value of type {what}; write a string."
        )
    return _list(map(_scalar, inside.val)) if what.endswith("_list") else _scalar(inside)


def _list(items: Iterable[str]) -> str:
    return "[" + ", ".join(items) + "]"


def _scalar(value: bool | int | float | str) -> str:
    if isinstance(value, str):
        return _string(value)
    if not isinstance(value, float):
        return json.dumps(value)
    if not math.isfinite(value):
        raise UnstorableValueError(f"JSON has no {value}, so the online store cannot hold it; write null.")
    # With all digits and a point: PostgreSQL would keep 1e30 as an integer.
    digits = f"{Decimal(repr(value)):f}"
    return digits if "." in digits else f"{digits}.0"


def _string(text: str) -> str:
    dumped = json.dumps(text, ensure_ascii=False)
    if "\0" in text or (not dumped.isascii() and _SURROGATE.search(text)):
        raise UnstorableValueError(
            "PostgreSQL's JSON holds no NUL character and no half of a surrogate pair."
        )
    return dumped


def _dumped(item: Any) -> str:
    """JSON of what was parsed from JSON."""
    if item is None:
        return "null"
    if isinstance(item, dict):
        return "{" + ", ".join(f"{_string(name)}: {_dumped(value)}" for name, value in item.items()) + "}"
    return _list(map(_dumped, item)) if isinstance(item, list) else _scalar(item)


def _checked(text: str) -> str:
    """JSON of a client, written so that PostgreSQL changes no number of it."""
    try:
        return _dumped(json.loads(text))
    except (ValueError, RecursionError):
        raise UnstorableValueError(
            "A value of type JSON is not JSON, or too deep, so the online store cannot hold it."
        ) from None


def _fill(message: Map, members: Mapping[str, Any]) -> None:
    for name, item in members.items():
        message.val[name].CopyFrom(_of_json(item))


def _of_json(item: Any) -> Value:
    """The Feast value of parsed JSON, of the widest type: a float of 32 bits comes back as one of 64."""
    made = Value()
    if isinstance(item, list):
        _fill_list(made, item)
    elif isinstance(item, dict):
        made.map_val.SetInParent()
        _fill(made.map_val, item)
    elif item is not None:
        kind = type(item)
        setattr(made, _NAMES[float if kind is int and item not in _INT64 else kind], item)
    return made


def _fill_list(made: Value, items: list[Any]) -> None:
    kinds = {type(item) for item in items}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is dict:
        for item in items:
            _fill(made.map_list_val.val.add(), item)
    elif kind is not None and kind in _NAMES and (kind is not int or all(item in _INT64 for item in items)):
        getattr(made, _NAMES[kind].replace("_val", "_list_val")).val.extend(items)
    else:
        made.list_val.SetInParent()
        made.list_val.val.extend(map(_of_json, items))

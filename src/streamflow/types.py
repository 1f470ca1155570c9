"""The types of values: one row a type, with its name in every system that stores or reads values.

Names are strings, so that a module imports only the systems that it uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

ColumnType = Literal["int", "float", "bool", "string", "date"]
"""Type of a column of a source table."""

FeatureType = Literal["int", "float", "bool", "string"]
"""Type of a feature that a model takes."""


@dataclass(frozen=True)
class ValueType:
    """One type.

    Attributes:
        name: What declarations and contracts call it.
        python: The Python type of a value.
        zero: What stands where a value is absent.
        postgres: Type of a column that we create, then other types that a feature may be read from.
        arrow: Arrow type.
        pandas: dtypes of a column in a pandera schema; the first is the one that frames are made with.
        numpy: dtype of a column as estimators take it.
        feast: Feast's types, each with its column type in the online store.
    """

    name: ColumnType
    python: type
    zero: Any
    postgres: tuple[str, ...]
    arrow: str
    pandas: tuple[str, ...]
    numpy: str
    feast: Mapping[str, str]


TYPES = (
    ValueType(
        name="int",
        python=int,
        zero=0,
        postgres=("bigint", "integer"),
        arrow="int64",
        pandas=("Int64",),
        numpy="int64",
        feast={"Int64": "bigint", "Int32": "integer"},
    ),
    ValueType(
        name="float",
        python=float,
        zero=0,
        postgres=("double precision", "real"),
        arrow="float64",
        pandas=("Float64",),
        numpy="float64",
        feast={"Float64": "double precision", "Float32": "real"},
    ),
    ValueType(
        name="bool",
        python=bool,
        zero=False,
        postgres=("boolean",),
        arrow="bool",
        pandas=("boolean",),
        numpy="bool",
        feast={"Bool": "boolean"},
    ),
    ValueType(
        name="string",
        python=str,
        zero="",
        postgres=("text",),
        arrow="string",
        pandas=("string[python]", "string"),
        numpy="object",
        feast={"String": "text"},
    ),
    # No feature has this type: Feast's dates are timestamps, and no model takes one.
    ValueType(
        name="date",
        python=date,
        zero=date.min,
        postgres=("date",),
        arrow="date32",
        pandas=("datetime64[ns]",),
        numpy="object",
        feast={},
    ),
)

_BY_NAME = {item.name: item for item in TYPES}

COLUMNS_ONLY = {
    "Bytes": "bytea",
    "UnixTimestamp": "timestamptz",
    "Uuid": "uuid",
    "TimeUuid": "uuid",
    "Decimal": "numeric",
    "Map": "jsonb",
    "Json": "jsonb",
}
"""Feast's types that the online store can store and no model takes, with their column types."""

FEAST_COLUMNS = {name: column for item in TYPES for name, column in item.feast.items()} | COLUMNS_ONLY
"""Column type in the online store, by Feast's type."""

_BY_FEAST = {name: item for item in TYPES for name in item.feast}
_BY_PANDAS = {name: item for item in TYPES for name in item.pandas}


def of(name: ColumnType) -> ValueType:
    """The type that declarations and contracts call `name`."""
    return _BY_NAME[name]


def of_feast(name: str) -> ValueType | None:
    """The type of a Feast type; None when no model takes it."""
    return _BY_FEAST.get(name)


def name_of_feast(name: str) -> ColumnType:
    """What declarations and contracts call a Feast type that models take."""
    return _BY_FEAST[name].name


def of_pandas(name: str) -> ValueType:
    """The type of a pandera column's dtype.

    Raises:
        KeyError: Source tables cannot have a column of this dtype.
    """
    return _BY_PANDAS[name]

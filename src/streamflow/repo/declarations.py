"""What a feature repo declares besides Feast's objects: source tables and their columns, the label, slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandera.pandas as pa

from streamflow import types
from streamflow.types import ColumnType

NullMeaning = Literal["", "missing", "not_applicable"]


@dataclass(frozen=True)
class Column:
    """A column of a source table.

    Attributes:
        name: Its name, in the CSV header and in PostgreSQL.
        type: Its type.
        null: What an empty cell means: "" an error, "missing" unknown, "not_applicable" a value of its own.
        categories: The allowed values of a string column, if its checks list them.
    """

    name: str
    type: ColumnType
    null: NullMeaning = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceTable:
    """A source table: a CSV file of a drop, a table in the schema `source`, a view of snapshots.

    Attributes:
        name: Table name and stem of the CSV file.
        key: The entity's key column.
        columns: The other columns, in order.
        snapshots: Name of the view that Feast reads.
        entities: Whether this table defines which entities exist.
        schema: The pandera schema that checks a chunk of rows.
    """

    name: str
    key: str
    columns: tuple[Column, ...]
    snapshots: str
    entities: bool
    schema: pa.DataFrameSchema

    @property
    def column_names(self) -> tuple[str, ...]:
        """Key first, then the columns: the header of the CSV file."""
        return (self.key, *(column.name for column in self.columns))

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if there is none."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Label:
    """What is predicted.

    Attributes:
        table: Source table of the label.
        column: Its boolean column.
        horizon: Which drop's label: 0 the drop's own, n the n-th next drop's.
    """

    table: str
    column: str
    horizon: int


@dataclass(frozen=True)
class Slice:
    """A division of the entities that the gate judges part by part.

    Attributes:
        name: What it is called.
        table: Source table of the column.
        column: The column that divides.
        bands: Bounds between the bands of a number; empty for a column whose values are the parts.
    """

    name: str
    table: str
    column: str
    bands: tuple[float, ...] = ()


def source_table(schema: pa.DataFrameSchema) -> SourceTable:
    """Read a table's declaration from its pandera schema."""
    metadata = schema.metadata or {}
    key, *names = list(schema.columns)
    return SourceTable(
        name=str(schema.name),
        key=key,
        columns=tuple(_column(name, schema.columns[name]) for name in names),
        snapshots=str(metadata["snapshots"]),
        entities=bool(metadata.get("entities")),
        schema=schema,
    )


def _column(name: str, column: pa.Column) -> Column:
    allowed: tuple[str, ...] = ()
    for check in column.checks:
        if check.name == "isin":
            allowed = tuple(str(value) for value in check.statistics["allowed_values"])
    return Column(
        name=name,
        type=types.of_pandas(str(column.dtype)).name,
        null=(column.metadata or {}).get("null", "missing" if column.nullable else ""),
        categories=tuple(sorted(allowed)),
    )

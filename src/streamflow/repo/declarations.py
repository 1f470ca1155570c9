"""What a feature repo declares besides Feast's objects: source tables, the label and slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandera.pandas as pa

from streamflow import types
from streamflow.repo.words import Words
from streamflow.types import ColumnType

NullMeaning = Literal["", "missing", "not_applicable"]

SNAPSHOTS, ENTITIES = "snapshots", "entities"
"""Keys of the metadata of a table's schema."""

NULL, NOT_AFTER_AS_OF = "null", "not_after_as_of"
"""Keys of the metadata of a column's schema."""


@dataclass(frozen=True)
class Column:
    """A column of a source table.

    Attributes:
        name: Name of the column, in the CSV header and in PostgreSQL.
        type: Type of the column.
        null: Meaning of an empty cell: "" is an error, "missing" an unknown value, "not_applicable" a value
            in its own right.
        categories: Allowed values of a string column, sorted; empty if its checks do not list them.
        description: What a value says; empty if the repo does not describe it.
    """

    name: str
    type: ColumnType
    null: NullMeaning = ""
    categories: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class SourceTable:
    """A source table. It is loaded from a CSV file of each drop, and Feast reads it through a view.

    Attributes:
        name: Name of the table in the schema `source`, and stem of the CSV file's name.
        key: Name of the entity's key column.
        columns: The other columns, in order.
        snapshots: Name of the view that Feast reads.
        entities: Whether this table defines which entities exist.
        schema: pandera schema that validates a chunk of rows.
        words: What its entities are called; None if that is not declared.
        description: What a row says; empty if the repo does not describe it.
    """

    name: str
    key: str
    columns: tuple[Column, ...]
    snapshots: str
    entities: bool
    schema: pa.DataFrameSchema
    words: Words | None = None
    description: str = ""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the key and the columns, in the order of the CSV header."""
        return (self.key, *(column.name for column in self.columns))

    def column(self, name: str) -> Column:
        """Return a column by name. The column must exist."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Label:
    """What the model predicts.

    Attributes:
        table: Source table of the label.
        column: Boolean column of the label.
        horizon: Number of drops between features and label; 0 takes the label of the same drop.
    """

    table: str
    column: str
    horizon: int


@dataclass(frozen=True)
class Slice:
    """A column by which the gate splits the entities, to judge each group separately.

    Attributes:
        name: Name of the slice.
        table: Source table of the column.
        column: Column to group by.
        bands: Boundaries that split a numeric column into bands; empty to make each value a group.
    """

    name: str
    table: str
    column: str
    bands: tuple[float, ...] = ()


def slices_of(declared: Iterable[Slice] | Mapping[str, Mapping[str, Any]]) -> tuple[Slice, ...]:
    """The slices that `slices.py` declares: a list of them, or dictionaries by name as repos had them before."""
    if isinstance(declared, Mapping):
        return tuple(
            Slice(name, item["table"], item["column"], tuple(item.get("bands", ())))
            for name, item in declared.items()
        )
    return tuple(declared)


def source_table(schema: pa.DataFrameSchema) -> SourceTable:
    """Build a table's declaration from its pandera schema."""
    metadata = schema.metadata or {}
    key, *names = list(schema.columns)
    entities = metadata.get(ENTITIES)
    return SourceTable(
        name=str(schema.name),
        key=key,
        columns=tuple(_column(name, schema.columns[name]) for name in names),
        snapshots=str(metadata[SNAPSHOTS]),
        entities=bool(entities),
        schema=schema,
        words=entities if isinstance(entities, Words) else None,
        description=schema.description or "",
    )


def _column(name: str, column: pa.Column) -> Column:
    allowed: tuple[str, ...] = ()
    for check in column.checks:
        if check.name == "isin":
            allowed = tuple(str(value) for value in check.statistics["allowed_values"])
    return Column(
        name=name,
        type=types.of_pandas(str(column.dtype)).name,
        null=(column.metadata or {}).get(NULL, "missing" if column.nullable else ""),
        categories=tuple(sorted(allowed)),
        description=column.description or "",
    )

"""Create the source tables in PostgreSQL from their declarations: append-only, partitioned by as-of.

A row has the number of its drop, whose dates are the row's. Triggers keep rows from being changed or deleted, and from
being added to a drop that is complete; migrations 0012 and 0020 say how.
"""

from __future__ import annotations

import sqlalchemy as sa

from streamflow import types
from streamflow.drops import partitions
from streamflow.postgres import catalog, drop_numbers
from streamflow.postgres.comments import Described
from streamflow.postgres.names import SOURCE, quote
from streamflow.repo.declarations import Column, SourceTable
from streamflow.repo.definitions import FeatureRepo

SCHEMA = SOURCE
"""Name of the schema of the source tables."""

_TRIGGERS = {
    "append_only": "BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"
    " EXECUTE FUNCTION streamflow.refuse_unless_erasing()",
    "rows_checked": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS added FOR EACH STATEMENT"
    " EXECUTE FUNCTION streamflow.check_source_rows()",
}

_NUMBER = {drop_numbers.COLUMN: "Number of the drop that the row came with, in streamflow.drops."}
_STAMPS = {
    "as_of": "Date that the row is about: that of its drop.",
    "loaded_at": "Stamp of the load: when the row was learnt.",
    "drop_id": "Drop that the row came with.",
}
_NULLS = {
    "": "",
    "missing": "Null: unknown.",
    "not_applicable": "Null: does not apply, a value of its own.",
}


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Create missing source tables, and add missing columns and triggers. Never drops or changes a column.

    A role without the right to create tables may call this too: no DDL is sent unless something is missing.
    """
    partitions.ensure_functions(connection)
    partitions.convert(connection)
    existing = catalog.columns(connection, SCHEMA)
    for table in repo.tables:
        if table.name not in existing:
            columns = {column.name: types.of(column.type).postgres[0] for column in table.columns}
            partitions.create(connection, table.name, table.key, columns)
            continue
        for column in table.columns:
            if column.name not in existing[table.name]:
                connection.exec_driver_sql(
                    f"ALTER TABLE {quote(SCHEMA, table.name)}"
                    f" ADD COLUMN IF NOT EXISTS {quote(column.name)} {types.of(column.type).postgres[0]}"
                )
    for name, trigger in catalog.missing_triggers(connection, SCHEMA, list(_TRIGGERS)):
        definition = _TRIGGERS[trigger].format(table=quote(SCHEMA, name))
        connection.exec_driver_sql(f"CREATE TRIGGER {trigger} {definition}")


def described(table: SourceTable) -> Described:
    """A source table and its snapshot view in the words of its declaration."""
    columns = {column.name: _described(table, column) for column in table.columns}
    about = table.description or f"Rows of {table.name}.csv."
    columns = {table.key: "Key of the entity.", **columns, **_NUMBER, **_STAMPS}
    return Described(f"{about} Append-only.", columns)


def _described(table: SourceTable, column: Column) -> str:
    about = column.description or f"Column {column.name} of {table.name}.csv."
    return f"{about} {_NULLS[column.null]}".rstrip()


def contradictions(connection: sa.Connection, repo: FeatureRepo) -> list[str]:
    """Describe columns of source tables that were created with another type than the one declared now."""
    existing = catalog.columns(connection, SCHEMA)
    return [
        f"{SCHEMA}.{table.name}.{column.name} is {held}, and tables.py declares {types.of(column.type).postgres[0]}"
        for table in repo.tables
        for column in table.columns
        if (held := existing.get(table.name, {}).get(column.name))
        and held not in types.of(column.type).postgres
    ]


def unguarded(connection: sa.Connection) -> tuple[str, ...]:
    """Describe source tables whose rows could be changed unnoticed, because a trigger is missing or disabled."""
    missing = catalog.missing_triggers(connection, SCHEMA, list(_TRIGGERS), everybodys=True)
    return tuple(
        f"The table {SCHEMA}.{table} is without its trigger {trigger}." for table, trigger in missing
    )


def column_definitions(table: SourceTable) -> str:
    """Return the column definitions of a table, for use in CREATE TABLE."""
    columns = "".join(f", {quote(c.name)} {types.of(c.type).postgres[0]}" for c in table.columns)
    return f"{quote(table.key)} text NOT NULL{columns}"

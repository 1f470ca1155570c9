"""Create the source tables in PostgreSQL from their declarations: append-only, with as_of and loaded_at."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow import types
from streamflow.postgres import catalog
from streamflow.postgres.names import SOURCE, quote
from streamflow.repo.declarations import SourceTable
from streamflow.repo.definitions import FeatureRepo

SCHEMA = SOURCE
"""Name of the schema of the source tables."""


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Create missing source tables and add missing columns. Never drops or changes a column.

    A role without the right to create tables may call this too: no DDL is sent unless something is missing.
    """
    existing = catalog.columns(connection, SCHEMA)
    for table in repo.tables:
        if table.name not in existing:
            connection.exec_driver_sql(_create(table))
            continue
        for column in table.columns:
            if column.name not in existing[table.name]:
                connection.exec_driver_sql(
                    f"ALTER TABLE {quote(SCHEMA, table.name)}"
                    f" ADD COLUMN IF NOT EXISTS {quote(column.name)} {types.of(column.type).postgres[0]}"
                )


def column_definitions(table: SourceTable) -> str:
    """Return the column definitions of a table, for use in CREATE TABLE."""
    columns = "".join(f", {quote(c.name)} {types.of(c.type).postgres[0]}" for c in table.columns)
    return f"{quote(table.key)} text NOT NULL{columns}"


def _create(table: SourceTable) -> str:
    # The index behind the constraint also serves the point-in-time join.
    return (
        f"CREATE TABLE IF NOT EXISTS {quote(SCHEMA, table.name)} ({column_definitions(table)},"
        " as_of timestamptz NOT NULL, loaded_at timestamptz NOT NULL, drop_id text NOT NULL,"
        f" UNIQUE ({quote(table.key)}, as_of, loaded_at))"
    )

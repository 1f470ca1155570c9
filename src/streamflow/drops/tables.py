"""The source tables in PostgreSQL, made from their declaration: append-only, with both times on every row."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow import types
from streamflow.postgres import catalog
from streamflow.postgres.names import SOURCE, quote
from streamflow.repo.declarations import SourceTable
from streamflow.repo.definitions import FeatureRepo

SCHEMA = SOURCE
"""Schema of the source tables."""


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Create missing source tables and add missing columns; nothing is ever dropped or changed.

    A role that may only insert can call it too: without a difference no DDL is sent.
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
    """The key and the columns of a table as they stand in a CREATE TABLE."""
    columns = "".join(f", {quote(c.name)} {types.of(c.type).postgres[0]}" for c in table.columns)
    return f"{quote(table.key)} text NOT NULL{columns}"


def _create(table: SourceTable) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {quote(SCHEMA, table.name)} ({column_definitions(table)},"
        " as_of timestamptz NOT NULL, loaded_at timestamptz NOT NULL, drop_id text NOT NULL,"
        f" UNIQUE ({quote(table.key)}, as_of, loaded_at))"
    )

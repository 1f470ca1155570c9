"""The `*_snapshots` views over the append-only source tables: everything known now, or frozen at one known-at."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from streamflow.postgres.engine import quote, transaction
from streamflow.repo.declarations import SourceTable
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings

LATEST = "features"
"""Schema of the views that hide nothing."""

KNOWN_PREFIX = "known_"
"""Schemas of views frozen at a known-at; they live as long as the run that made them."""

_LEFTOVER_AFTER = "1 day"


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Create the views in schema `features`, or replace those whose columns have changed."""
    for table in repo.tables:
        _create(connection, table, LATEST, None)


def _create(connection: sa.Connection, table: SourceTable, schema: str, known_at: datetime | None) -> None:
    name = quote(schema, table.snapshots)
    columns = [*table.column_names, "as_of", "loaded_at", "drop_id"]
    existing = list(
        connection.execute(
            sa.text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = :schema AND table_name = :view ORDER BY ordinal_position"
            ),
            {"schema": schema, "view": table.snapshots},
        ).scalars()
    )
    if existing == columns:
        return
    if existing:
        # Replacing in place may only append columns; whoever reads waits for the end of this transaction.
        connection.exec_driver_sql(f"DROP VIEW {name}")
    selected = ", ".join(quote(column) for column in columns)
    # A view's text takes no parameters; isoformat of a datetime holds no quote.
    frozen = f" WHERE loaded_at <= TIMESTAMPTZ '{known_at.isoformat()}'" if known_at else ""
    connection.exec_driver_sql(
        f"CREATE VIEW {name} AS SELECT {selected} FROM {quote('source', table.name)}{frozen}"
    )


@contextlib.contextmanager
def frozen(settings: Settings, repo: FeatureRepo, known_at: datetime) -> Iterator[str]:
    """The world as known at `known_at`: a schema of views of the same names, dropped at the end.

    Feast's offline store reads it when its `db_schema` is the yielded name; so training sees no row that was
    loaded later, although the tables are live. (Feast's own `filter_by_created_timestamp` compares the load
    time with the event timestamp, which is another question.)

    Args:
        known_at: Newest load time that is visible; timezone-aware.
    """
    schema = f"{KNOWN_PREFIX}{uuid.uuid4().hex[:16]}"
    with transaction(settings) as connection:
        _drop_leftovers(connection)
        connection.exec_driver_sql(f"CREATE SCHEMA {quote(schema)}")
        # The comment dates the schema, so that one left behind by a killed run is found and dropped.
        connection.exec_driver_sql(f"COMMENT ON SCHEMA {quote(schema)} IS '{_now(connection).isoformat()}'")
        for table in repo.tables:
            _create(connection, table, schema, known_at)
    try:
        yield schema
    finally:
        with transaction(settings) as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")


def _drop_leftovers(connection: sa.Connection) -> None:
    leftovers = connection.execute(
        sa.text(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE :prefix"
            f" AND obj_description(oid, 'pg_namespace')::timestamptz < clock_timestamp() - interval '{_LEFTOVER_AFTER}'"
        ),
        {"prefix": KNOWN_PREFIX.replace("_", r"\_") + "%"},
    ).scalars()
    for schema in list(leftovers):
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")


def _now(connection: sa.Connection) -> datetime:
    now: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return now

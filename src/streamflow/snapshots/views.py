"""The `*_snapshots` views over the append-only source tables: everything known now, or frozen at one known-at."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from streamflow.postgres import catalog, clock
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import FEATURES, KNOWN_PREFIX, SOURCE, quote
from streamflow.repo.declarations import SourceTable
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings

_LEFTOVER_AFTER = "1 day"


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Create the views in schema `features`, or replace those whose columns have changed."""
    for table in repo.tables:
        _create(connection, table, FEATURES, None)


def _create(connection: sa.Connection, table: SourceTable, schema: str, known_at: datetime | None) -> None:
    name = quote(schema, table.snapshots)
    columns = [*table.column_names, "as_of", "loaded_at", "drop_id"]
    existing = list(catalog.columns(connection, schema, [table.snapshots]).get(table.snapshots, ()))
    if existing == columns:
        return
    if existing:
        # Replacing in place may only append columns; whoever reads waits for the end of this transaction.
        connection.exec_driver_sql(f"DROP VIEW {name}")
    selected = ", ".join(quote(column) for column in columns)
    # A view's text takes no parameters; isoformat of a datetime holds no quote.
    frozen = f" WHERE loaded_at <= TIMESTAMPTZ '{known_at.isoformat()}'" if known_at else ""
    connection.exec_driver_sql(
        f"CREATE VIEW {name} AS SELECT {selected} FROM {quote(SOURCE, table.name)}{frozen}"
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
        connection.exec_driver_sql(
            f"COMMENT ON SCHEMA {quote(schema)} IS '{clock.now(connection).isoformat()}'"
        )
        for table in repo.tables:
            _create(connection, table, schema, known_at)
    try:
        yield schema
    finally:
        with transaction(settings) as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")


def _drop_leftovers(connection: sa.Connection) -> None:
    for schema in catalog.schemas_dated_before(connection, KNOWN_PREFIX, _LEFTOVER_AFTER):
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")

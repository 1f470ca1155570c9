"""The `*_snapshots` views of the source tables: of all rows, or of those loaded up to a known-at."""

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
from streamflow.settings import DatabaseSettings

_LEFTOVER_AFTER = "1 day"
"""Age from which a frozen schema counts as left behind by a killed run."""


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Create the views of all rows in the schema `features`; replace those whose columns have changed."""
    for table in repo.tables:
        _create(connection, table, FEATURES, None)


def _create(connection: sa.Connection, table: SourceTable, schema: str, known_at: datetime | None) -> None:
    name = quote(schema, table.snapshots)
    columns = [*table.column_names, "as_of", "loaded_at", "drop_id"]
    existing = list(catalog.columns(connection, schema, [table.snapshots]).get(table.snapshots, ()))
    if existing == columns:
        return
    if existing:
        # CREATE OR REPLACE VIEW can only append columns. Readers wait until this transaction commits.
        connection.exec_driver_sql(f"DROP VIEW {name}")
    selected = ", ".join(quote(column) for column in columns)
    # A view's definition takes no parameters, and the ISO format of a datetime contains no quote.
    frozen = f" WHERE loaded_at <= TIMESTAMPTZ '{known_at.isoformat()}'" if known_at else ""
    connection.exec_driver_sql(
        f"CREATE VIEW {name} AS SELECT {selected} FROM {quote(SOURCE, table.name)}{frozen}"
    )


@contextlib.contextmanager
def frozen(database: DatabaseSettings, repo: FeatureRepo, known_at: datetime) -> Iterator[str]:
    """Create a schema of snapshot views that show only rows loaded up to `known_at`; drop it at the end.

    The views have the usual names, so Feast's offline store reads them when its `db_schema` names this
    schema, and a training run sees no row that is loaded meanwhile. Feast's own `filter_by_created_timestamp`
    cannot do this: it compares a row's load time with the entity's event timestamp, so a drop that was loaded
    after its as-of date would be invisible.

    Args:
        database: How to connect to PostgreSQL.
        repo: Definitions of the source tables.
        known_at: Newest load time that is visible; must have a time zone.

    Yields:
        Name of the schema.
    """
    schema = f"{KNOWN_PREFIX}{uuid.uuid4().hex[:16]}"
    with transaction(database) as connection:
        _drop_leftovers(connection)
        connection.exec_driver_sql(f"CREATE SCHEMA {quote(schema)}")
        # The comment records the creation time: a later run drops the schemas that killed runs left behind.
        connection.exec_driver_sql(
            f"COMMENT ON SCHEMA {quote(schema)} IS '{clock.now(connection).isoformat()}'"
        )
        for table in repo.tables:
            _create(connection, table, schema, known_at)
    # Committed before the yield, because Feast reads the views through connections of its own.
    try:
        yield schema
    finally:
        with transaction(database) as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")


def _drop_leftovers(connection: sa.Connection) -> None:
    for schema in catalog.schemas_dated_before(connection, KNOWN_PREFIX, _LEFTOVER_AFTER):
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")

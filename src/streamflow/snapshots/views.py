"""The `*_snapshots` views of the source tables: of all rows, or of those loaded up to a known-at."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.lake import ledger
from streamflow.postgres import catalog, drop_numbers, statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import FEATURES, KNOWN_PREFIX, quote
from streamflow.repo.declarations import SourceTable
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_LEFTOVER_AFTER = "1 day"
"""Age from which a schema that a run of an earlier version made itself counts as left behind."""


def ensure(connection: sa.Connection, repo: FeatureRepo) -> None:
    """Create the views of all rows in the schema `features`; replace those whose columns have changed."""
    for table in repo.tables:
        _create(connection, table)


def _create(connection: sa.Connection, table: SourceTable) -> None:
    name = quote(FEATURES, table.snapshots)
    wanted = column_names(table)
    existing = list(catalog.columns(connection, FEATURES, [table.snapshots]).get(table.snapshots, ()))
    if existing == wanted:
        return
    if existing:
        # CREATE OR REPLACE VIEW can only append columns. Readers wait until this transaction commits.
        connection.exec_driver_sql(f"DROP VIEW {name}")
    connection.exec_driver_sql(f"CREATE VIEW {name} AS {drop_numbers.snapshots(table.name, wanted)}")


def column_names(table: SourceTable) -> list[str]:
    """Names of the columns of a table's views, in order."""
    return [*table.column_names, *drop_numbers.STAMPS]


@contextlib.contextmanager
def frozen(database: DatabaseSettings, repo: FeatureRepo, known_at: datetime) -> Iterator[str]:
    """Open a schema of snapshot views that show only rows loaded up to `known_at`; drop it at the end.

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

    Raises:
        Refused: The rows are in the lake, so that the views would be empty.
    """
    views = [
        {"view": table.snapshots, "table": table.name, "columns": column_names(table)}
        for table in repo.tables
    ]
    with transaction(database) as connection:
        ledger.refuse_rows_in_lake(connection)
        _drop_leftovers(connection)
        parameters = {"known_at": known_at, "views": json.dumps(views)}
        schema: str = connection.execute(sa.text(_SQL["open_known"]), parameters).scalar_one()
    # Committed before the yield, because Feast reads the views through connections of its own.
    try:
        yield schema
    finally:
        with transaction(database) as connection:
            connection.execute(sa.text(_SQL["close_known"]), {"schema": schema})


def _drop_leftovers(connection: sa.Connection) -> None:
    for schema in catalog.schemas_dated_before(connection, KNOWN_PREFIX, _LEFTOVER_AFTER):
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")

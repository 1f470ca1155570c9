"""How fresh drops, source tables and online tables are, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.postgres import catalog, statements
from streamflow.postgres.names import ONLINE, quote

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Reach:
    """How far the content of a table reaches.

    Attributes:
        rows: Number of rows; an estimate for large online tables.
        newest_as_of: Newest as-of; None if nothing was ingested or materialized.
    """

    rows: int
    newest_as_of: datetime | None


@dataclass(frozen=True)
class Freshness:
    """How far drops, source tables and online tables reach.

    Attributes:
        newest_drop: As-of of the newest drop; None before the first drop.
        tables: Source tables, by name.
        views: Online tables, by feature view.
    """

    newest_drop: datetime | None
    tables: dict[str, Reach] = field(default_factory=dict)
    views: dict[str, Reach] = field(default_factory=dict)


def newest_drop(connection: sa.Connection) -> datetime | None:
    """As-of of the newest drop; None before the first one."""
    found: datetime | None = connection.execute(sa.text(_SQL["newest_drop"])).scalar()
    return found


def newest_materialized(connection: sa.Connection) -> datetime | None:
    """Newest as-of in the online tables; None before the first materialization."""
    found: datetime | None = connection.execute(sa.text(_SQL["newest_online"])).scalar()
    return found


def read(connection: sa.Connection) -> Freshness:
    """Read the state of all tables without scanning large ones."""
    return Freshness(newest_drop(connection), _tables(connection), _views(connection))


def problems(found: Freshness) -> list[str]:
    """Describe what is missing or behind the newest drop, one phrase per problem. Pure."""
    if found.newest_drop is None:
        return ["no drop has been ingested"]
    tables = (
        _lag(f"source table {name}", table, found.newest_drop, empty="is empty")
        for name, table in found.tables.items()
    )
    views = (
        _lag(f"feature view {name}", view, found.newest_drop, empty="was never materialized")
        or ("" if view.rows else f"feature view {name} is empty")
        for name, view in found.views.items()
    )
    return [problem for problem in (*tables, *views) if problem]


def _lag(what: str, reach: Reach, newest_drop: datetime, *, empty: str) -> str:
    if reach.newest_as_of is None:
        return f"{what} {empty}"
    if reach.newest_as_of < newest_drop:
        return f"{what} ends at {reach.newest_as_of.date()}, the newest drop is of {newest_drop.date()}"
    return ""


def _tables(connection: sa.Connection) -> dict[str, Reach]:
    """Read source tables from the ledger: no index begins with `as_of`, so `max(as_of)` would scan them."""
    rows = connection.execute(sa.text(_SQL["source_tables"]))
    return {row.table_name: Reach(row.rows, row.newest) for row in rows}


def _views(connection: sa.Connection) -> dict[str, Reach]:
    """Read online tables: the planner's estimate of rows, and the newest materialized as-of."""
    names = catalog.feature_view_tables(connection)
    return {name: _view(connection, name) for name in names}


def _view(connection: sa.Connection, name: str) -> Reach:
    newest = connection.execute(
        sa.text(_SQL["newest_materialized"]),
        {"view": name},
    ).scalar()
    rows = catalog.row_estimate(connection, quote(ONLINE, name)) or 0
    if not rows:
        # No estimate: the table is empty, or was never analyzed and so is small enough to count.
        rows = int(connection.exec_driver_sql(f"SELECT count(*) FROM {quote(ONLINE, name)}").scalar_one())
    return Reach(rows, newest)

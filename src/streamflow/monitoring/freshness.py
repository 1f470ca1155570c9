"""How far drops, source tables and online tables reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from streamflow.postgres import catalog
from streamflow.postgres.names import ONLINE, quote


@dataclass(frozen=True)
class Reach:
    """Rows of a table and the newest as-of among them."""

    rows: int
    newest_as_of: datetime | None


@dataclass(frozen=True)
class Freshness:
    """The newest drop, and the reach of every source table and every feature view."""

    newest_drop: datetime | None
    tables: dict[str, Reach] = field(default_factory=dict)
    views: dict[str, Reach] = field(default_factory=dict)


def read(connection: sa.Connection) -> Freshness:
    """Read it all; source tables have an index on as_of only behind their key, so they are asked by drop."""
    newest = connection.execute(sa.text("SELECT max(as_of) FROM streamflow.drops")).scalar()
    return Freshness(newest, _tables(connection), _views(connection))


def problems(found: Freshness) -> list[str]:
    """What is missing or behind the newest drop, a sentence each. Pure."""
    if found.newest_drop is None:
        return ["no drop has been ingested"]
    tables = (
        _lag(f"source table {name}", table, found.newest_drop, empty="is empty")
        for name, table in found.tables.items()
    )
    views = (
        _lag(f"feature view {name}", view, found.newest_drop, empty="was never materialized")
        or ("" if view.rows else f"feature view {name} holds no entity")
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
    """Source tables, from the ledger: it counts what each drop brought, so nothing large is scanned."""
    rows = connection.execute(
        sa.text(
            "SELECT table_name, sum(f.accepted)::bigint AS rows,"
            " max(as_of) FILTER (WHERE f.accepted > 0) AS newest"
            " FROM streamflow.drop_files f JOIN streamflow.drops USING (drop_id) GROUP BY table_name"
        )
    )
    return {row.table_name: Reach(row.rows, row.newest) for row in rows}


def _views(connection: sa.Connection) -> dict[str, Reach]:
    """Online tables: rows as the planner estimates them, newest as-of from the table of materializations."""
    names = catalog.feature_view_tables(connection)
    return {name: _view(connection, name) for name in names}


def _view(connection: sa.Connection, name: str) -> Reach:
    newest = connection.execute(
        sa.text(
            "SELECT newest_as_of FROM online.materializations WHERE feature_view = :view"
            " ORDER BY materialization_id DESC LIMIT 1"
        ),
        {"view": name},
    ).scalar()
    rows = catalog.row_estimate(connection, quote(ONLINE, name)) or 0
    if not rows:
        # Never analyzed, or empty: small enough to be counted.
        rows = int(connection.exec_driver_sql(f"SELECT count(*) FROM {quote(ONLINE, name)}").scalar_one())
    return Reach(rows, newest)

"""Partition the source tables by as-of: create a table, convert one of an earlier version, add the month of a drop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from streamflow.errors import Refused
from streamflow.postgres import catalog, drop_numbers, statements
from streamflow.postgres.names import FEATURES, KNOWN_PREFIX, PLATFORM, SOURCE, quote

_SQL = statements.load(Path(__file__).with_name("partitions.sql"))

# The role that loads drops may not create tables: these act as the owner of the source tables.
_FUNCTIONS = ("add_partition", "index_partition")
_WIDTHS = {
    "bigint": 8,
    "double precision": 8,
    "timestamp with time zone": 8,
    "integer": 4,
    "real": 4,
    "date": 4,
}
_BOOLEAN, _TEXT = 1, 0

_ONLY_SINCE = 180000
"""First server version that analyzes a partitioned table without its partitions."""


def create(connection: sa.Connection, table: str, key: str, columns: Mapping[str, str]) -> None:
    """Create a partitioned table without partitions.

    Args:
        connection: A connection.
        table: Name of the table.
        key: Column with the key of the entity.
        columns: SQL types by name, without the key's.
    """
    # Wide columns first, or PostgreSQL pads each row between narrow ones and wide ones.
    listed = {**columns, drop_numbers.COLUMN: "integer NOT NULL", key: "text NOT NULL"}
    ordered = sorted(listed.items(), key=lambda item: -_width(item[1]))
    connection.exec_driver_sql(
        f"CREATE TABLE {quote(SOURCE, table)} ({', '.join(f'{quote(name)} {kind}' for name, kind in ordered)})"
        f" PARTITION BY LIST ({drop_numbers.as_of()})"
    )
    # Rows are stored in the order of their keys, so that a small index of blocks finds those of a person.
    connection.exec_driver_sql(
        f"CREATE INDEX ON {quote(SOURCE, table)} USING brin ({quote(key)}) WITH (pages_per_range = 8)"
    )


def _width(kind: str) -> int:
    kind = kind.removesuffix(" NOT NULL")
    return _WIDTHS.get(kind, _BOOLEAN if kind == "boolean" else _TEXT)


def ensure_functions(connection: sa.Connection) -> None:
    """Create the functions by which ingest adds partitions, if this login owns the source tables and they are missing."""
    missing = set(_FUNCTIONS) - catalog.functions(connection, SOURCE)
    for name in sorted(missing) if catalog.may_create_in(connection, SOURCE) else ():
        function = f"{quote(SOURCE, name)}(text, integer)"
        connection.exec_driver_sql(
            f"CREATE FUNCTION {function} RETURNS void LANGUAGE sql SECURITY DEFINER"
            f" SET search_path = pg_catalog, pg_temp AS 'SELECT {PLATFORM}.{name}($1, $2)'"
        )
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")


def add(connection: sa.Connection, table: str, drop_number: int) -> None:
    """Add the partition for the rows of a drop in the ledger, unless it is there."""
    _call(connection, "add_partition", table, drop_number)


def index(connection: sa.Connection, table: str, drop_number: int) -> None:
    """Enter the new rows of a drop into the index of their partition."""
    _call(connection, "index_partition", table, drop_number)


def _call(connection: sa.Connection, function: str, table: str, drop_number: int) -> None:
    connection.execute(
        sa.text(f"SELECT {SOURCE}.{function}(:table, :drop_number)"),
        {"table": table, "drop_number": drop_number},
    )


def analyze(connection: sa.Connection, table: str, drop_number: int) -> None:
    """Update the planner's statistics of a table and of the partition of a drop, and of no other partition."""
    for part in connection.execute(
        sa.text(_SQL["parts"]), {"table": table, "drop_number": drop_number}
    ).scalars():
        connection.exec_driver_sql(f"ANALYZE {part}")
    version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
    if version >= _ONLY_SINCE:
        connection.exec_driver_sql(f"ANALYZE ONLY {quote(SOURCE, table)}")
        return
    months = connection.execute(sa.text(_SQL["months"]), {"table": table}).scalar_one()
    # An older server analyzes all partitions again: so at 1, 2, 4, 8… of them.
    if months & (months - 1) == 0:
        connection.exec_driver_sql(f"ANALYZE {quote(SOURCE, table)}")


def convert(connection: sa.Connection) -> None:
    """Partition the tables of an earlier version, in the caller's transaction.

    Raises:
        Refused: A table is of an earlier version and not this login's, it has rows that are not of a drop in the
            ledger, or others' views depend on it.
    """
    for table, key, ours in connection.execute(sa.text(_SQL["unpartitioned"])).all():
        if not ours:
            raise Refused(
                f"The table {SOURCE}.{table} has not been partitioned yet.",
                hint="Run 'streamflow features apply', as the upgrade does.",
            )
        _convert(connection, table, key)


def _convert(connection: sa.Connection, table: str, key: str) -> None:
    former = f"{table[:50]}__former"
    connection.exec_driver_sql(f"LOCK TABLE {quote(SOURCE, table)} IN ACCESS EXCLUSIVE MODE")
    _refuse_dependents(connection, table)
    kinds = catalog.columns(connection, SOURCE, [table])[table]
    columns = {name: kind for name, kind in kinds.items() if name not in (key, *drop_numbers.STAMPS)}
    grants = catalog.grants(connection, quote(SOURCE, table))
    connection.exec_driver_sql(f"ALTER TABLE {quote(SOURCE, table)} RENAME TO {quote(former)}")
    create(connection, table, key, columns)
    for privilege, grantee in grants:
        connection.exec_driver_sql(f"GRANT {privilege} ON {quote(SOURCE, table)} TO {grantee}")
    numbers = (
        connection.exec_driver_sql(
            f"SELECT min(d.drop_number) FROM {PLATFORM}.drops d JOIN"
            f" (SELECT DISTINCT drop_id FROM {quote(SOURCE, former)}) f USING (drop_id) GROUP BY d.as_of ORDER BY d.as_of"
        )
        .scalars()
        .all()
    )
    for number in numbers:
        add(connection, table, number)
    _copy(connection, table, former, key, list(columns))
    for number in numbers:
        index(connection, table, number)
    _read_from(connection, table, former)
    # The views of runs that are still going on are dropped too: such a run fails, and is run again.
    connection.exec_driver_sql(f"DROP TABLE {quote(SOURCE, former)} CASCADE")
    connection.exec_driver_sql(f"ANALYZE {quote(SOURCE, table)}")


def _copy(connection: sa.Connection, table: str, former: str, key: str, columns: list[str]) -> None:
    """Copy all rows, before the table has the trigger that refuses rows of complete drops."""
    listed = ", ".join(quote(column) for column in (key, *columns))
    total = connection.exec_driver_sql(f"SELECT count(*) FROM {quote(SOURCE, former)}").scalar_one()
    copied = connection.exec_driver_sql(
        f"INSERT INTO {quote(SOURCE, table)} ({listed}, {drop_numbers.COLUMN}) SELECT {listed}, d.drop_number"
        f" FROM {quote(SOURCE, former)} f JOIN {PLATFORM}.drops d USING (drop_id)"
        f" WHERE f.as_of = d.as_of AND f.loaded_at = d.loaded_at ORDER BY d.drop_number, {quote(key)}"
    ).rowcount
    if copied != total:
        raise Refused(
            f"{total - copied} rows of {SOURCE}.{table} have the dates of no drop in the ledger. Nothing was changed.",
            hint="'streamflow ingest' did not load them. Delete them as the owner of the table, then run this again.",
        )


def _refuse_dependents(connection: sa.Connection, table: str) -> None:
    found = connection.execute(sa.text(_SQL["dependents"]), {"table": table}).all()
    others = [
        f"{schema}.{view}"
        for schema, view in found
        if schema != FEATURES and not schema.startswith(KNOWN_PREFIX)
    ]
    if others:
        raise Refused(
            f"Views depend on the table {SOURCE}.{table}, which has to be partitioned. Nothing was changed.",
            details=tuple(others),
            hint=f"Drop them, and create them again on the view of {table} in the schema {FEATURES}.",
        )


def _read_from(connection: sa.Connection, table: str, former: str) -> None:
    """Let the views in `features` read the new table; what depends on them stays."""
    for schema, view in connection.execute(sa.text(_SQL["dependents"]), {"table": former}).all():
        if schema != FEATURES:
            continue
        columns = list(catalog.columns(connection, FEATURES, [view])[view])
        connection.exec_driver_sql(
            f"CREATE OR REPLACE VIEW {quote(FEATURES, view)} AS {drop_numbers.snapshots(table, columns)}"
        )

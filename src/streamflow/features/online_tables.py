"""Replace the online tables inside PostgreSQL: build a new table for every view, then swap all at once.

Filling a new table and indexing it takes a fifth of the time of updating every row in place (1,000,000 rows:
1.6 s instead of 9.3 s) and leaves no dead rows. Readers use the old tables until the swap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.common.materialization_job import MaterializationTask

from streamflow.errors import DependencyDown
from streamflow.features.online_store import STAMPS, feature_names, key_columns
from streamflow.postgres import catalog
from streamflow.postgres.names import MATERIALIZATIONS, literal, quote
from streamflow.postgres.newest import per_entity

_LOCK_TIMEOUT = "100ms"
_LOCK_TRIES = 120
_NEWER = "(held.event_timestamp, coalesce(held.created_timestamp, '-infinity'))"
_OFFERED = "(offered.event_timestamp, coalesce(offered.created_timestamp, '-infinity'))"


def write_views(
    connection: sa.Connection,
    schema: str,
    tasks: Sequence[MaterializationTask],
    known_at: datetime,
    offered: Callable[[FeatureView, int], str] | None = None,
) -> list[int]:
    """Build a new table for every view and swap them all in, as part of the caller's transaction.

    Args:
        connection: Connection in a transaction whose search path includes the snapshots.
        schema: Schema of the online tables.
        tasks: Views and windows to materialize.
        known_at: Newest load time to include; rows loaded later are left for the next materialization.
        offered: SELECT of the newest rows of a view, whose arguments are those of `newest_in_window`, the default.

    Returns:
        Number of entities written from each task's window.

    Raises:
        DependencyDown: A reader kept a table locked for so long that it could not be swapped.
    """
    rows_of = offered or newest_in_window
    built = [_build(connection, schema, task, known_at, rows_of) for task in tasks]
    _swap(
        connection,
        schema,
        [(task.feature_view.name, number) for task, (number, _) in zip(tasks, built, strict=True)],
    )
    return [rows for _, rows in built]


def _next_name(view: str, number: int) -> str:
    return f"{view}__{number}"


def _build(
    connection: sa.Connection,
    schema: str,
    task: MaterializationTask,
    known_at: datetime,
    rows_of: Callable[[FeatureView, int], str],
) -> tuple[int, int]:
    """Fill the new table of one view; return the materialization's id and the number of entities written."""
    view = task.feature_view
    held = quote(schema, view.name)
    # SHARE mode admits readers and blocks pushes through Feast's API, which the swap would otherwise discard.
    connection.exec_driver_sql(f"LOCK TABLE {held} IN SHARE MODE")
    number = _record(connection, schema, task, known_at)
    target = quote(schema, _next_name(view.name, number))
    keys = key_columns(view)
    listed = ", ".join(quote(column) for column in [*keys, *feature_names(view), *STAMPS])
    using = ", ".join(quote(key) for key in keys)
    connection.exec_driver_sql(
        f"CREATE TABLE {target} (LIKE {held} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMMENTS)"
    )
    # An entity whose current row is newer keeps it, so materializing an older as-of date replaces nothing.
    rows = connection.execute(
        sa.text(
            f"INSERT INTO {target} ({listed}) SELECT {listed} FROM ({rows_of(view, number)}) AS offered"
            f" WHERE NOT EXISTS (SELECT FROM {held} AS held WHERE {_same(keys)} AND {_NEWER} > {_OFFERED})"
        ),
        {"start": task.start_time, "end": task.end_time, "known_at": known_at},
    ).rowcount
    # Entities without a row in the window, such as users missing from the newest drop, keep their old row.
    connection.exec_driver_sql(
        f"INSERT INTO {target} ({listed}) SELECT {listed} FROM {held} AS held"
        f" WHERE NOT EXISTS (SELECT FROM {target} AS offered WHERE {_same(keys)})"
    )
    connection.exec_driver_sql(f"ALTER TABLE {target} ADD PRIMARY KEY ({using})")
    # A new table has no statistics, and autovacuum cannot see it before the commit.
    connection.exec_driver_sql(f"ANALYZE {target}")
    connection.execute(
        sa.text(
            f"UPDATE {quote(schema, MATERIALIZATIONS)} SET rows = :rows,"
            f" newest_as_of = (SELECT max(event_timestamp) FROM {target}) WHERE materialization_id = :number"
        ),
        {"rows": rows, "number": number},
    )
    return number, int(rows)


def _record(connection: sa.Connection, schema: str, task: MaterializationTask, known_at: datetime) -> int:
    number: int = connection.execute(
        sa.text(
            f"INSERT INTO {quote(schema, MATERIALIZATIONS)} (feature_view, window_start, window_end, rows,"
            " materialized_at) VALUES (:view, :start, :end, 0, :known_at) RETURNING materialization_id"
        ),
        {
            "view": task.feature_view.name,
            "start": task.start_time,
            "end": task.end_time,
            "known_at": known_at,
        },
    ).scalar_one()
    return number


def newest_in_window(view: FeatureView, number: int) -> str:
    """SELECT of each entity's newest row between :start and :end, with the columns of the online table.

    Rows loaded after :known_at are excluded, so that load times alone show which rows were materialized.

    Args:
        view: The feature view.
        number: Id of the materialization, written to every row.
    """
    source: Any = view.batch_source
    # A source maps its columns to the names that Feast knows, those of keys and times among them.
    mapping = {name: column for column, name in (source.field_mapping or {}).items()}

    def column(name: str) -> str:
        # Feast gives a view without an entity one key, of one value.
        return literal(DUMMY_ENTITY_VAL) if name == DUMMY_ENTITY_ID else quote(mapping.get(name, name))

    keys = [column(key) for key in key_columns(view)]
    stamp = column(source.timestamp_field)
    created = (
        column(source.created_timestamp_column) if source.created_timestamp_column else "NULL::timestamptz"
    )
    columns = [
        *(f"{column(name)} AS {quote(name)}" for name in [*key_columns(view), *feature_names(view)]),
        f"{stamp} AS {STAMPS[0]}",
        f"{created} AS {STAMPS[1]}",
        f"{number}::bigint AS {STAMPS[2]}",
    ]
    known = f" AND {created} <= :known_at" if source.created_timestamp_column else ""
    snapshots = f"{source.get_table_query_string()} AS snapshots"
    return per_entity(columns, snapshots, keys, [stamp, created], f"{stamp} BETWEEN :start AND :end{known}")


def _same(keys: Sequence[str]) -> str:
    return " AND ".join(f"held.{quote(key)} = offered.{quote(key)}" for key in keys)


def _swap(connection: sa.Connection, schema: str, built: Sequence[tuple[str, int]]) -> None:
    """Give each new table the owner, the grants, the comment and the name of the old one, and drop the old one."""
    for name, number in built:
        _take_over(connection, schema, name, _next_name(name, number))
    _lock(connection, [quote(schema, name) for name, _ in built])
    # The locks exclude readers, so this time separates reads of the old tables from reads of the new ones; a
    # replay uses it to decide which values an answer came from. It is the server's clock, by which answers are dated
    # too, and no stamp: answers take none. The sub-select gives all views the same time.
    connection.execute(
        sa.text(
            f"UPDATE {quote(schema, MATERIALIZATIONS)} SET visible_at = (SELECT clock_timestamp())"
            " WHERE materialization_id = ANY(:numbers)"
        ),
        {"numbers": [number for _, number in built]},
    )
    for name, number in built:
        connection.exec_driver_sql(f"DROP TABLE {quote(schema, name)}")
        connection.exec_driver_sql(
            f"ALTER TABLE {quote(schema, _next_name(name, number))} RENAME TO {quote(name)}"
        )


def _take_over(connection: sa.Connection, schema: str, name: str, next_name: str) -> None:
    target = quote(schema, next_name)
    for privilege, grantee in catalog.grants(connection, quote(schema, name)):
        connection.exec_driver_sql(f"GRANT {privilege} ON {target} TO {grantee}")
    if comment := catalog.table_comment(connection, quote(schema, name)):
        connection.exec_driver_sql(
            f"COMMENT ON TABLE {target} IS {literal(comment)}", execution_options={"no_parameters": True}
        )
    owner, ours = catalog.owner(connection, quote(schema, name))
    if not ours:
        connection.exec_driver_sql(f"ALTER TABLE {target} OWNER TO {owner}")


def _lock(connection: sa.Connection, tables: Sequence[str]) -> None:
    """Lock the tables in short attempts: a queued exclusive lock blocks new readers, predict among them."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    for attempt in range(_LOCK_TRIES):
        try:
            # A lock that times out aborts its transaction: the savepoint keeps the tables that were built.
            with connection.begin_nested():
                connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            return
        except sa.exc.OperationalError as error:
            # 55P03 is lock_not_available; no other error is cured by another attempt.
            if getattr(error.orig, "sqlstate", "") != "55P03":
                raise
            time.sleep(0.2 * min(attempt + 1, 10))
    raise DependencyDown(
        "The online tables could not be swapped: somebody keeps reading them.",
        hint="Look for a long transaction in pg_stat_activity, end it, and run 'streamflow materialize' again.",
    )

"""Read the history of a source table: every row that was ever loaded, with its as-of and its loaded-at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from streamflow import types
from streamflow.lake import ledger, place
from streamflow.lake import read as lake_read
from streamflow.postgres import copied
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import FEATURES, literal, quote
from streamflow.repo.declarations import SourceTable
from streamflow.settings import DatabaseSettings
from streamflow.snapshots.views import column_names

_MOMENT = pa.timestamp("us", tz="UTC")


def read(
    database: DatabaseSettings,
    table: SourceTable,
    keys: Sequence[str] | None = None,
    known_at: datetime | None = None,
    lake: str = "",
) -> pa.Table:
    """Read the rows of a source table, sorted by key, as-of and loaded-at.

    Args:
        database: How to connect to PostgreSQL.
        table: The table.
        keys: Keys of entities; None reads the rows of all.
        known_at: Newest load time of a row; None reads all.
        lake: URL of the lake; "" reads PostgreSQL.

    Raises:
        DependencyDown: PostgreSQL or the lake does not answer.
        Refused: The rows are in the other one of them.
    """
    if lake:
        opened = place.opened(lake)
        with transaction(database) as connection:
            drops = ledger.drops(connection, opened, table.name, known_at)
        return lake_read.history(opened, table, drops, keys)
    read_as = {table.key: pa.string()}
    read_as |= {column.name: pa.type_for_alias(types.of(column.type).arrow) for column in table.columns}
    read_as |= {"as_of": _MOMENT, "loaded_at": _MOMENT, "drop_id": pa.string()}
    key = quote(table.key)
    conditions = ["true"]
    if keys is not None:
        conditions.append(f"{key} = ANY(ARRAY[{', '.join(map(literal, keys))}]::text[])")
    if known_at is not None:
        conditions.append(f"loaded_at <= TIMESTAMPTZ '{known_at.isoformat()}'")
    select = (
        f"SELECT {', '.join(map(quote, column_names(table)))} FROM {quote(FEATURES, table.snapshots)}"
        f" WHERE {' AND '.join(conditions)} ORDER BY {key}, as_of, loaded_at"
    )
    with transaction(database) as connection:
        ledger.refuse_rows_in_lake(connection)
        return copied.table(connection, select, read_as)

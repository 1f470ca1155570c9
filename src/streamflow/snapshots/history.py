"""Read the history of a source table: every row that was ever loaded, with its as-of and its loaded-at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from streamflow import types
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
) -> pa.Table:
    """Read the rows of a source table, sorted by key, as-of and loaded-at.

    Args:
        database: How to connect to PostgreSQL.
        table: The table.
        keys: Keys of entities; None reads the rows of all.
        known_at: Newest load time of a row; None reads all.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
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
        return copied.table(connection, select, read_as)

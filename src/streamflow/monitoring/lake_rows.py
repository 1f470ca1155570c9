"""Read what the months have in the lake: each entity's newest row as of a date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from streamflow.lake import ledger, place, read
from streamflow.repo.declarations import SourceTable


def of_month(
    connection: sa.Connection,
    lake: str,
    table: SourceTable,
    columns: Sequence[str],
    as_of: datetime,
    known_at: datetime,
) -> pa.Table:
    """Read the key and some columns of a table as of a date, one row an entity.

    Args:
        connection: Connection to read the ledger on.
        lake: URL of the lake.
        table: The table.
        columns: Columns to read, without the key, which comes first.
        as_of: The month.
        known_at: Newest load time of a row.

    Raises:
        Refused: The rows are in PostgreSQL.
        DependencyDown: The lake does not answer, or lacks files.
    """
    opened = place.opened(lake)
    drops = [drop for drop in ledger.drops(connection, opened, table.name, known_at) if drop.as_of == as_of]
    parts = list(read.newest(opened, table, drops, columns))
    return (
        pa.concat_tables(parts) if parts else read.schema(table).empty_table().select([table.key, *columns])
    )


def values_of(entities: pa.ChunkedArray, rows: pa.Table) -> pa.ChunkedArray:
    """Look up each entity's row, and return the value in its second column; null for an entity without a row. Pure."""
    return rows.column(1).take(pc.index_in(entities, value_set=rows.column(0).combine_chunks()))

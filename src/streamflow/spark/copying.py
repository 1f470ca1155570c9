"""Copy Arrow's batches to a table of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from streamflow.postgres.names import quote


def copy(
    connection: sa.Connection, table: str, columns: Sequence[str], batches: Iterable[pa.RecordBatch]
) -> int:
    """Copy all rows to a table, quoted already; return their number."""
    listed = ", ".join(quote(column) for column in columns)
    copied = 0
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {table} ({listed}) FROM STDIN (FORMAT csv)") as copying:
        for batch in batches:
            # A null is an empty field, an empty text a quoted one, as PostgreSQL's CSV has them.
            buffer = pa.BufferOutputStream()
            csv.write_csv(batch, buffer, csv.WriteOptions(include_header=False))
            copying.write(memoryview(buffer.getvalue()))
            copied += batch.num_rows
    return copied

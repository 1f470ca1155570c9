"""Copy the rows of one of Spark's tasks to a table of PostgreSQL. It runs in the executors, so it loads no Feast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv

from streamflow.postgres.engine import engine, transaction
from streamflow.postgres.names import quote
from streamflow.settings import DatabaseSettings


class Copying:
    """What a task of Spark runs: copy its rows in one transaction.

    A task that runs twice, because its executor was lost after the commit, leaves its rows twice; the engine takes one.
    """

    def __init__(self, database: DatabaseSettings, table: str, columns: Sequence[str]) -> None:
        self.database, self.table, self.columns = database, table, columns

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Copy all rows and commit them; yield their number."""
        listed = ", ".join(quote(column) for column in self.columns)
        copied = 0
        try:
            with transaction(self.database) as connection:
                cursor: Any = connection.connection.cursor()
                with cursor.copy(f"COPY {self.table} ({listed}) FROM STDIN (FORMAT csv)") as copy:
                    for batch in batches:
                        # A null is an empty field, an empty text a quoted one, as PostgreSQL's CSV has them.
                        buffer = pa.BufferOutputStream()
                        csv.write_csv(batch, buffer, csv.WriteOptions(include_header=False))
                        copy.write(memoryview(buffer.getvalue()))
                        copied += batch.num_rows
        finally:
            # The process waits for further tasks, and should not keep a connection meanwhile.
            engine(self.database).dispose()
        yield pa.RecordBatch.from_pydict({"copied": pa.array([copied], pa.int64())})

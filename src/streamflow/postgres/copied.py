"""Read the result of a SELECT as Arrow columns: PostgreSQL writes CSV and Arrow parses it.

No value becomes a Python object; fetching rows from a cursor takes ten times as long. PostgreSQL prints floats with
enough digits for Arrow to restore every bit.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

_BATCH_BYTES = 16 << 20


def table(connection: sa.Connection, select: str, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Run a SELECT and return its whole result.

    Args:
        connection: Connection in a transaction.
        select: The SELECT, without parameters: COPY takes none.
        types: Name and type of each column of the result, in order.
    """
    # A server or a login may have another style, which Arrow does not read.
    connection.exec_driver_sql("SET LOCAL DateStyle TO ISO")
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY ({select}) TO STDOUT (FORMAT csv)") as copy:
        content = b"".join(copy)
    return parse(content, types) if content else pa.schema(list(types.items())).empty_table()


def batches(
    connection: sa.Connection, select: str, types: Mapping[str, pa.DataType], size: int = _BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """Run a SELECT and return its result in parts, so that memory holds one of them.

    Args:
        connection: Connection in a transaction; nothing else may use it until the last part was read.
        select: The SELECT, without parameters.
        types: Name and type of each column of the result, in order.
        size: Bytes of CSV from which a part ends.
    """
    connection.exec_driver_sql("SET LOCAL DateStyle TO ISO")
    cursor: Any = connection.connection.cursor()
    held, total = [], 0
    with cursor.copy(f"COPY ({select}) TO STDOUT (FORMAT csv)") as copy:
        for row in copy:  # PostgreSQL sends each row by itself, so a part never ends within one
            held.append(row)
            total += len(row)
            if total >= size:
                yield from parse(b"".join(held), types).to_batches()
                held, total = [], 0
    if held:
        yield from parse(b"".join(held), types).to_batches()


def parse(content: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Parse rows of CSV as PostgreSQL writes them, at least one.

    Args:
        content: The rows, without a header.
        types: Name and type of each column, in order.
    """
    return csv.read_csv(
        io.BytesIO(content),
        csv.ReadOptions(column_names=list(types), use_threads=False, block_size=len(content)),
        # A row of a single column that is null is an empty line.
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=types,
            # In PostgreSQL's CSV an empty field is null, and a quoted empty field is the empty string.
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    ).combine_chunks()

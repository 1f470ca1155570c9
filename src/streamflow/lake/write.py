"""Write, replace and delete files of the lake. Each becomes visible whole, by a change of its name.

A name that begins with an underscore is hidden: Spark and pyarrow leave such files out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from streamflow.lake import layout
from streamflow.lake.place import Place, failures, synced

HIDDEN = "_"
"""Beginning of the names of files that are being written."""

FILE_ROWS = 4_000_000
"""Most rows of a file, and so the most that an erasure writes again for one person and drop."""

_COMPRESSION = "zstd"


def drop(
    place: Place,
    table: str,
    as_of: date,
    number: int,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    file_rows: int = FILE_ROWS,
) -> int:
    """Write the rows of one table of a drop, in place of what an attempt that failed has left.

    Args:
        place: The lake.
        table: Name of the source table.
        as_of: As-of of the drop.
        number: Number of the drop.
        schema: Columns of the rows.
        batches: The rows, in the order of their keys.
        file_rows: Rows after which the next file begins.

    Returns:
        Number of rows.

    Raises:
        DiskFull: There is no room.
        DependencyDown: The lake cannot be written.
    """
    folder = layout.of_drop(place.root, table, as_of, number)
    with failures(place):
        _delete_folder(place, folder)
        if place.is_local:
            place.store.create_dir(folder, recursive=True)
        try:
            rows = _files(place, folder, schema, batches, file_rows)
        except BaseException:
            # What is left is not seen, because the ledger does not have the drop; but it takes room.
            with contextlib.suppress(OSError):
                _delete_folder(place, folder)
            raise
        for above in list(PurePosixPath(folder).parents)[:3] if place.is_local else ():
            synced(place, str(above))
    return rows


def _files(
    place: Place, folder: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], file_rows: int
) -> int:
    total, remaining, number = 0, iter(batches), 0
    while True:
        written, more = 0, False
        with file(place, f"{folder}/part-{number:05}{layout.SUFFIX}", schema) as writer:
            for batch in remaining:
                writer.write_batch(batch)
                written += batch.num_rows
                if more := written >= file_rows:
                    break
        total, number = total + written, number + 1
        if not more:
            return total


@contextlib.contextmanager
def file(place: Place, path: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Write a file under a hidden name, and give it its own, in place of another one, if nothing fails."""
    target = PurePosixPath(path)
    hidden = str(target.with_name(f"{HIDDEN}{target.name}"))
    with (
        place.store.open_output_stream(hidden) as stream,
        pq.ParquetWriter(stream, schema, compression=_COMPRESSION) as writer,
    ):
        yield writer
    synced(place, hidden)
    place.store.move(hidden, path)
    synced(place, str(target.parent))


def text(place: Place, path: str, content: str) -> None:
    """Write a small file, in place of another one."""
    hidden = f"{path}.new"
    with place.store.open_output_stream(hidden) as stream:
        stream.write(content.encode())
    synced(place, hidden)
    place.store.move(hidden, path)


def delete_folder(place: Place, folder: str) -> None:
    """Delete a folder with all that is in it, if it is there.

    Raises:
        DependencyDown: The lake cannot be changed.
    """
    with failures(place):
        _delete_folder(place, folder)


def _delete_folder(place: Place, folder: str) -> None:
    info: Any = place.store.get_file_info(folder)
    if info.type == fs.FileType.Directory:
        place.store.delete_dir(folder)

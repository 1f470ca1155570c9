"""Remove a person, or whole old months, from the files of the lake: the only changes that do not add rows.

Whatever is cut short can be repeated: a file is replaced whole, and nobody reads a folder without a drop in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from streamflow.lake import layout, ledger, write
from streamflow.lake.place import Place, failures

_PREFIX = "lake."
_BATCH_ROWS = 65_536


def count(place: Place, matches: Callable[[str], bool], key: str = "") -> dict[str, int]:
    """Rows of a person, by table. Changes nothing.

    Args:
        place: The lake.
        matches: Whether a key is the person's.
        key: The person's key; "" if only `matches` knows it, which then is asked about every key.

    Raises:
        DependencyDown: The lake does not answer.
    """
    counts: dict[str, int] = {}
    with failures(place):
        for table, path in _files(place):
            if number := _rows(place, path, matches, key):
                counts[table] = counts.get(table, 0) + number
    return {f"{_PREFIX}{table}": number for table, number in counts.items()}


def erase(place: Place, matches: Callable[[str], bool], key: str = "") -> dict[str, int]:
    """Write each file with rows of a person again without them; return the removed rows by table.

    Nothing else may write to the lake meanwhile. What a killed process was writing is deleted.

    Args:
        place: The lake.
        matches: Whether a key is the person's.
        key: The person's key; "" if only `matches` knows it.

    Raises:
        DiskFull: There is no room for the file without the rows; the old file stays.
        DependencyDown: The lake does not answer.
    """
    counts: dict[str, int] = {}
    with failures(place):
        for hidden in _hidden(place):
            place.store.delete_file(hidden)
        for table, path in _files(place):
            if number := _rows(place, path, matches, key):
                _rewrite(place, path, matches)
                counts[table] = counts.get(table, 0) + number
    return {f"{_PREFIX}{table}": number for table, number in counts.items()}


def months(place: Place, before: datetime) -> dict[str, int]:
    """Delete the rows of each as-of before a date; return their number by table.

    Raises:
        DependencyDown: The lake does not answer.
    """
    ledger.forget_before(place, before)
    counts: dict[str, int] = {}
    with failures(place):
        gone: dict[str, str] = {}
        for table, path in _files(place):
            folder = next(str(above) for above in PurePosixPath(path).parents if _as_of(above) is not None)
            if _as_of(PurePosixPath(folder)) < before:
                counts[table] = counts.get(table, 0) + _metadata(place, path).num_rows
                gone[folder] = table
        for folder in gone:
            place.store.delete_dir(folder)
    return {f"{_PREFIX}{table}": number for table, number in counts.items()}


def _as_of(folder: PurePosixPath) -> Any:
    name, _, value = folder.name.partition("=")
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if name == layout.AS_OF else None


def _listed(place: Place) -> list[PurePosixPath]:
    selector = fs.FileSelector(place.root, allow_not_found=True, recursive=True)
    return [
        PurePosixPath(info.path)
        for info in place.store.get_file_info(selector)
        if info.type == fs.FileType.File and info.path.endswith(layout.SUFFIX)
    ]


def _files(place: Place) -> Iterator[tuple[str, str]]:
    """Table and path of each file, those of failed attempts included."""
    root = PurePosixPath(place.root)
    for path in sorted(_listed(place)):
        parts = path.relative_to(root).parts
        if len(parts) == layout.DEPTH and not path.name.startswith(write.HIDDEN):
            yield parts[0], str(path)


def _hidden(place: Place) -> list[str]:
    return [str(path) for path in _listed(place) if path.name.startswith(write.HIDDEN)]


def _metadata(place: Place, path: str) -> Any:
    with place.store.open_input_file(path) as source:
        return pq.ParquetFile(source).metadata


def _rows(place: Place, path: str, matches: Callable[[str], bool], key: str) -> int:
    with place.store.open_input_file(path) as source:
        file = pq.ParquetFile(source)
        if key and not _may_have(file.metadata, key):
            return 0
        column = file.schema_arrow.field(0).name
        return sum(
            int(pc.sum(_those(batch, matches)).as_py() or 0)
            for batch in file.iter_batches(_BATCH_ROWS, columns=[column])
        )


def _may_have(metadata: Any, key: str) -> bool:
    """Whether a key may be in a file, by the smallest and the largest key of each of its parts."""
    for part in range(metadata.num_row_groups):
        statistics = metadata.row_group(part).column(0).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        # Parquet orders text by its bytes, and may cut the largest one.
        if statistics.min.encode() <= key.encode() and key.encode() <= statistics.max.encode():
            return True
    return False


def _those(batch: pa.RecordBatch, matches: Callable[[str], bool]) -> pa.Array:
    """Which rows of a batch are the person's, whose key is the first column."""
    return pa.array([matches(key) for key in batch.column(0).to_pylist()], pa.bool_())


def _rewrite(place: Place, path: str, matches: Callable[[str], bool]) -> None:
    with place.store.open_input_file(path) as source:
        file = pq.ParquetFile(source)
        with write.file(place, path, file.schema_arrow) as writer:
            for batch in file.iter_batches(_BATCH_ROWS):
                writer.write_batch(batch.filter(pc.invert(_those(batch, matches))))

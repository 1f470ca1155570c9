"""Bring what Spark's tasks compute to the driver, a partition at a time.

Executors cannot log in to PostgreSQL and may not write to the lake, so the driver does both. Spark keeps the rows on the
executors' disks until the driver reads them, and returns each row once, however often its task ran.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row


@contextlib.contextmanager
def rows(computed: DataFrame) -> Iterator[Iterator[Row]]:
    """Compute all partitions at once; yield their rows one partition after the other.

    Raises:
        Exception: What a task that failed again and again met with.
    """
    kept = computed.persist(StorageLevel.DISK_ONLY)
    try:
        kept.count()
        yield kept.toLocalIterator(prefetchPartitions=True)
    finally:
        kept.unpersist()


@contextlib.contextmanager
def batches(computed: DataFrame) -> Iterator[Iterator[pa.RecordBatch]]:
    """As `rows`, but as Arrow's batches, which Python neither makes nor reads row by row."""
    with rows(computed.mapInArrow(_packed, "batch binary")) as packed:
        yield (batch for row in packed for batch in pa.ipc.open_stream(bytes(row.batch)))


def _packed(found: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A row for each batch. Pure."""
    for batch in found:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.record_batch({"batch": pa.array([sink.getvalue().to_pybytes()], pa.binary())})

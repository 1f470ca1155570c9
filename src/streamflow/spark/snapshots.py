"""Temporary views `*_snapshots` of the lake as known at a time: the rows of the drops that the ledger had by then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql import types as spark_types
from pyspark.sql.pandas.types import from_arrow_type

from streamflow import types
from streamflow.errors import DependencyDown, UsageError
from streamflow.lake import layout, ledger, place
from streamflow.postgres import drop_numbers
from streamflow.postgres.engine import transaction
from streamflow.repo.declarations import SourceTable
from streamflow.settings import DatabaseSettings

_LEDGER = pa.schema(
    [
        (drop_numbers.COLUMN, pa.int64()),
        ("loaded_at", pa.timestamp("us", tz="UTC")),
        ("drop_id", pa.string()),
    ]
)


_KNOWN_AT = "streamflow.knownAt"
"""Property of a session: its known-at."""

_PARTITIONS = "spark.sql.shuffle.partitions"
_ROWS_IN_PARTITION = 500_000
_FEWEST, _MOST = 8, 4000


@contextlib.contextmanager
def frozen(
    session: SparkSession,
    database: DatabaseSettings,
    lake_url: str,
    tables: Iterable[SourceTable],
    known_at: datetime,
) -> Iterator[SparkSession]:
    """Open a session whose views show only rows loaded up to `known_at`, and make it the active one.

    Feast reads the views by their names through the active session. What Feast leaves behind in it, temporary views
    and settings, ends with it.

    Args:
        session: The session of the process, which is the active one again afterwards.
        database: Where the ledger is.
        lake_url: Folder or object store URL of the lake.
        tables: Source tables to show.
        known_at: Newest load time that is visible.

    Yields:
        The session with the views.

    Raises:
        Refused: The rows of the ledger's drops are in PostgreSQL.
        DependencyDown: Files of a drop are not in the lake, or the lake or PostgreSQL does not answer.
    """
    lake, wanted = place.opened(lake_url), list(tables)
    with transaction(database) as connection:
        drops = {table.name: ledger.drops(connection, lake, table.name, known_at) for table in wanted}
    with showing(session, known_at) as own:
        if not own.sparkContext.getConf().contains(_PARTITIONS):
            own.conf.set(_PARTITIONS, partitions(max(sum(drop.rows for drop in of) for of in drops.values())))
        for table in wanted:
            _rows(own, lake_url, table, drops[table.name]).createOrReplaceTempView(table.snapshots)
        yield own


@contextlib.contextmanager
def showing(session: SparkSession, known_at: datetime) -> Iterator[SparkSession]:
    """Open a session without views, which says that its views are as known at a time, and make it the active one."""
    own = session.newSession()
    own.conf.set(_KNOWN_AT, known_at.isoformat())
    _activate(own)
    try:
        yield own
    finally:
        _activate(session)


def partitions(rows: int) -> int:
    """Into how many partitions Spark shuffles a table of so many rows. Pure.

    Spark's own 200 take minutes for a few thousand rows, because each is a task and a step of the driver, and are too few
    for a billion, because a partition passes through the driver's memory.
    """
    return min(max(-(-rows // _ROWS_IN_PARTITION), _FEWEST), _MOST)


def known_at(session: SparkSession) -> datetime:
    """As known at which time a session shows its snapshots.

    Raises:
        UsageError: It shows none.
    """
    value = session.conf.get(_KNOWN_AT, "")
    if not value:
        raise UsageError(
            "Spark's session shows no snapshots as known at a time.",
            hint="Use 'streamflow materialize' and 'streamflow train', which open them.",
        )
    return datetime.fromisoformat(value)


def schema_of(table: SourceTable) -> spark_types.StructType:
    """Columns of a table's files, the key first, then the columns of its folders. Pure."""
    declared = [
        (table.key, "string"),
        *((column.name, types.of(column.type).arrow) for column in table.columns),
    ]
    folders = [("as_of", "date32"), (drop_numbers.COLUMN, "int64")]
    return spark_types.StructType(
        [
            spark_types.StructField(name, from_arrow_type(pa.type_for_alias(arrow)))
            for name, arrow in [*declared, *folders]
        ]
    )


def _rows(
    session: SparkSession, lake_url: str, table: SourceTable, drops: Sequence[ledger.Drop]
) -> DataFrame:
    """Rows of these drops with their stamps; folders that the ledger does not name are never read."""
    schema = schema_of(table)
    folders = [layout.of_drop(lake_url, table.name, drop.as_of.date(), drop.number) for drop in drops]
    if folders:
        reader = session.read.schema(schema).option("basePath", layout.of_table(lake_url, table.name))
        try:
            rows = reader.parquet(*folders)
        except AnalysisException as error:
            raise DependencyDown(
                f"The lake at {lake_url} does not have all drops of the table '{table.name}'.",
                details=(str(error).strip().splitlines()[0],),
                hint="Check STREAMFLOW_LAKE__URL; restore the folder, or ingest the drop again.",
            ) from error
    else:
        rows = session.createDataFrame([], schema)
    stamps = pa.table(
        [
            [drop.number for drop in drops],
            [drop.loaded_at for drop in drops],
            [drop.drop_id for drop in drops],
        ],
        schema=_LEDGER,
    )
    # The as-of comes from the folder's name, so that a condition on it reads no other folder.
    return rows.join(
        functions.broadcast(session.createDataFrame(stamps)), on=drop_numbers.COLUMN, how="inner"
    ).select(
        *(functions.col(name) for name in table.column_names),
        functions.col("as_of").cast("timestamp").alias("as_of"),
        "loaded_at",
        "drop_id",
    )


def _activate(session: SparkSession) -> None:
    # What `createDataFrame` does as a side effect: Spark has no public function for it in Python.
    SparkSession._activeSession = session
    SparkSession._get_j_spark_session_class(session._jvm).setActiveSession(session._jsparkSession)

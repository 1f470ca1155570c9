"""Spark: StreamFlow's offline store and batch engine over temporary views, and its online store in PostgreSQL."""

from __future__ import annotations

import contextlib

import pyarrow as pa
from backends.postgresql import OnlineInPostgresql, config_of
from feast import FeatureStore
from kit_backend import CREATED, Backend
from pyspark.sql import functions

from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.settings import SparkSettings
from streamflow.spark import session, snapshots

_CONF = {
    "spark.sql.shuffle.partitions": "1",
    # Queries over a few rows cost what it takes to compile them.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


def started():
    """The session of this process."""
    return session.started(SparkSettings(driver_memory="1g", conf=_CONF))


class SparkBackend(Backend):
    """Temporary views that end at the known-at."""

    name = "spark"

    def __init__(self, database, running):
        self.database, self.running = database, running

    @contextlib.contextmanager
    def open(self, folder, tables, known_at=None):
        with transaction(self.database) as connection:
            now = clock.known_now(connection)
        with snapshots.showing(self.running, known_at or now) as own:
            for name, rows in tables.items():
                table = own.createDataFrame(pa.Table.from_pandas(rows, preserve_index=False))
                until = functions.lit((known_at or now).isoformat()).cast("timestamp")
                table.where(functions.col(CREATED) <= until).createOrReplaceTempView(name)
            config = config_of(
                self.database,
                folder,
                "streamflow.spark.offline_store.LakeOfflineStore",
                "streamflow.spark.engine.LakeEngine",
            )
            yield OnlineInPostgresql(self.database, FeatureStore(config=config))

"""A batch engine for Feast: Spark selects each entity's newest row, and PostgreSQL takes all views in one transaction.

Rows of Spark's tasks come to tables of their own through the driver. Only when all of them are there does one transaction
put them into the online tables, as PostgreSQL's engine does, and record it: a failure changes nothing that anybody reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationJob, MaterializationTask
from feast.infra.compute_engines.dag.context import ExecutionContext
from feast.infra.compute_engines.dag.model import DAGFormat
from feast.infra.compute_engines.dag.node import DAGNode
from feast.infra.compute_engines.dag.value import DAGValue
from feast.infra.compute_engines.spark.compute import SparkComputeEngine, SparkComputeEngineConfig
from feast.infra.compute_engines.spark.feature_builder import SparkFeatureBuilder
from feast.infra.registry.base_registry import BaseRegistry
from pyspark.sql import functions

from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.features.engine import DoneJob
from streamflow.features.online_store import STAMPS, database_settings, feature_names, key_columns
from streamflow.features.online_tables import write_views
from streamflow.postgres import locks
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import INCOMING, quote
from streamflow.postgres.newest import per_entity
from streamflow.settings import DatabaseSettings
from streamflow.spark import copying, returned, snapshots
from streamflow.spark.offline_store import active_session, translated

_FIRST_STAMPS = STAMPS[:2]
"""Stamps that a row comes with; the materialization's id is known only in PostgreSQL."""
_DROP_TIMEOUT = "30s"


class LakeEngineConfig(SparkComputeEngineConfig):  # type: ignore[misc]
    """Names the engine; it works in the active session of Spark."""

    type: Literal["streamflow.spark.engine.LakeEngine"] = "streamflow.spark.engine.LakeEngine"


class LakeEngine(SparkComputeEngine):  # type: ignore[misc]
    """Feast's Spark engine with a loud end: a materialization that failed raises, and has changed nothing."""

    @property
    def supports_batch(self) -> bool:
        """Ask Feast to pass all feature views in one call, so that they can share a transaction."""
        return True

    def materialize(
        self,
        registry: BaseRegistry,
        tasks: MaterializationTask | list[MaterializationTask],
        **kwargs: Any,
    ) -> list[MaterializationJob]:
        """Write each entity's newest row in each task's window, for all views in one transaction.

        Raises:
            UsageError: No snapshots are open, or a view's source is not a table.
            StreamFlowError: Rows that Spark wrote are missing.
            Exception: What Spark or PostgreSQL met with.
        """
        several = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        store = self.repo_config.online_store
        database, schema = database_settings(store), store.db_schema
        known_at = snapshots.known_at(active_session())
        views = [task.feature_view for task in several]
        with transaction(database) as holding:
            # It orders materializations, also those of PostgreSQL's engine.
            locks.wait(holding, locks.ENGINE)
            with _incoming(database, schema, views) as tables:
                copied = [self._copy(registry, task, database, tables) for task in several]
                with transaction(database) as connection:
                    for view, rows in zip(views, copied, strict=True):
                        _check(connection, view.name, tables[view.name], rows)
                    written = write_views(
                        connection,
                        schema,
                        several,
                        known_at,
                        lambda view, number: _newest(view, tables[view.name], number),
                    )
        return [DoneJob(task, rows) for task, rows in zip(several, written, strict=True)]

    def _copy(
        self,
        registry: BaseRegistry,
        task: MaterializationTask,
        database: DatabaseSettings,
        tables: Mapping[str, str],
    ) -> int:
        """Copy the newest rows of a view, as Spark selects them, into its table; return how many."""
        made = MaterializationTask(**vars(task) | {"feature_view": translated(task.feature_view)})
        builder = _CopyingBuilder(registry, active_session(), made)
        builder.database, builder.table = database, tables[task.feature_view.name]
        rows: int = builder.build().execute(self.get_execution_context(registry, made)).data
        return rows


class _CopyingBuilder(SparkFeatureBuilder):  # type: ignore[misc]
    """Feast's plan of a materialization, which ends in a COPY to a table of PostgreSQL."""

    database: DatabaseSettings
    table: str

    def build_output_nodes(self, view: FeatureView, input_node: DAGNode) -> DAGNode:
        node = _CopyNode(self.task.feature_view, self.get_column_info(view), input_node)
        node.database, node.table = self.database, self.table
        self.nodes.append(node)
        return node


class _CopyNode(DAGNode):  # type: ignore[misc]
    """Copies rows to a table; its value is their number."""

    database: DatabaseSettings
    table: str

    def __init__(self, view: FeatureView, columns: Any, input_node: DAGNode) -> None:
        super().__init__(f"{view.name}:output", inputs=[input_node])
        self.view, self.columns = view, columns

    def execute(self, context: ExecutionContext) -> DAGValue:
        rows = self.get_single_input_value(context).data
        created = self.columns.created_timestamp_column
        stamps = [
            functions.col(self.columns.timestamp_column),
            functions.col(created) if created else functions.lit(None).cast("timestamp"),
        ]
        names = [*key_columns(self.view), *feature_names(self.view)]
        selected = rows.select(
            *(functions.col(name) for name in names),
            *(stamp.alias(name) for stamp, name in zip(stamps, _FIRST_STAMPS, strict=True)),
        )
        with returned.batches(selected) as batches, transaction(self.database) as connection:
            copied = copying.copy(connection, self.table, selected.columns, batches)
        return DAGValue(data=copied, format=DAGFormat.SPARK)


@contextlib.contextmanager
def _incoming(
    database: DatabaseSettings, schema: str, views: Sequence[FeatureView]
) -> Iterator[dict[str, str]]:
    """Tables for the rows of these views, quoted, by view; they are dropped at the end."""
    tables = {view.name: quote(schema, f"{view.name}{INCOMING}") for view in views}
    drop = "; ".join(f"DROP TABLE IF EXISTS {table}" for table in tables.values())
    # Committed at once, so that each view's rows are copied in a transaction of their own.
    with transaction(database) as connection:
        # Those of a process that was killed.
        connection.exec_driver_sql(drop)
        for view in views:
            # Unlogged: after a crash of PostgreSQL they are empty, which `_check` notices.
            connection.exec_driver_sql(
                f"CREATE UNLOGGED TABLE {tables[view.name]} (LIKE {quote(schema, view.name)})"
            )
    try:
        yield tables
    finally:
        # What cannot be dropped now, the next materialization drops.
        with (
            contextlib.suppress(sa.exc.OperationalError, DependencyDown),
            transaction(database) as connection,
        ):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_DROP_TIMEOUT}'")
            connection.exec_driver_sql(drop)


def _check(connection: sa.Connection, view: str, table: str, copied: int) -> None:
    there = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
    if there < copied:
        raise StreamFlowError(
            f"Spark copied {copied} rows of the feature view '{view}' to PostgreSQL, and {there} of them are there.",
            hint="PostgreSQL was restarted meanwhile. Nothing was materialized; run 'streamflow materialize' again.",
        )


def _newest(view: FeatureView, table: str, number: int) -> str:
    """SELECT of each entity's newest row among those that were copied, with the columns of the online table."""
    keys = [quote(key) for key in key_columns(view)]
    columns = [*keys, *map(quote, feature_names(view)), *_FIRST_STAMPS, f"{number}::bigint AS {STAMPS[2]}"]
    return per_entity(columns, table, keys, [STAMPS[0], f"coalesce({STAMPS[1]}, '-infinity')"])

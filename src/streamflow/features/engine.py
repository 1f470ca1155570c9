"""A batch engine for Feast that materializes all feature views in one SQL transaction.

`feast materialize` and `streamflow materialize` both run it. Rows go from the snapshots to the online tables
without leaving PostgreSQL. Because one transaction writes all views, a reader sees either the old values of
every view or the new ones, never a mixture.

Views that PostgreSQL alone cannot compute, those of files and those with a transformation in Python, are left to Feast's
local engine.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from feast import Entity, FeatureView, FileSource
from feast.infra.common.materialization_job import (
    MaterializationJob,
    MaterializationJobStatus,
    MaterializationTask,
)
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import PostgreSQLOfflineStoreConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from streamflow.errors import UsageError
from streamflow.features.online_store import database_settings
from streamflow.features.online_tables import write_views
from streamflow.lake import ledger
from streamflow.postgres import clock, locks
from streamflow.postgres.engine import engine, transaction


class SnapshotEngineConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Names the engine in `feature_store.yaml`; the engine itself has no options."""

    type: Literal["streamflow.features.engine.SnapshotEngine"] = "streamflow.features.engine.SnapshotEngine"


@dataclass
class DoneJob(MaterializationJob):  # type: ignore[misc]
    """A successful materialization; a failed one raises instead of returning a job.

    Attributes:
        task: The view and the window that were materialized.
        rows: Number of entities written.
        identity: Random job id.
    """

    task: MaterializationTask
    rows: int
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    def status(self) -> MaterializationJobStatus:
        """Return SUCCEEDED."""
        return MaterializationJobStatus.SUCCEEDED

    def error(self) -> BaseException | None:
        """Return None: a failed materialization raises."""
        return None

    def should_be_retried(self) -> bool:
        """Return False."""
        return False

    def job_id(self) -> str:
        """Return the random job id."""
        return self.identity

    def url(self) -> str | None:
        """Return None: the job has no web page."""
        return None


class SnapshotEngine(ComputeEngine):  # type: ignore[misc]
    """Materializes inside PostgreSQL, if the offline and the online store share one database.

    Raises:
        UsageError: Both stores are in PostgreSQL, in different databases.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("type", None)
        super().__init__(**kwargs)
        offline, online = self.repo_config.offline_store, self.repo_config.online_store
        same = ("host", "port", "database")
        in_postgres = isinstance(offline, PostgreSQLOfflineStoreConfig)
        if in_postgres and any(getattr(offline, name) != getattr(online, name, None) for name in same):
            raise UsageError(
                "The SnapshotEngine needs the offline and the online store in one PostgreSQL database.",
                hint="Give both the same host, port and database, or set batch_engine to 'local'.",
            )

    @property
    def supports_batch(self) -> bool:
        """Ask Feast to pass all feature views in one call, so that they can share a transaction."""
        return True

    def update(
        self,
        project: str,
        views_to_delete: Sequence[FeatureView],
        views_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
    ) -> None:
        """Do nothing: the engine has no infrastructure to prepare."""

    def teardown_infra(self, project: str, fvs: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Do nothing: the engine has no infrastructure to remove."""

    def materialize(
        self,
        registry: BaseRegistry,
        tasks: MaterializationTask | list[MaterializationTask],
        **kwargs: Any,
    ) -> list[MaterializationJob]:
        """Write each entity's newest row in each task's window, for all views of PostgreSQL in one transaction.

        Raises:
            Exception: What Feast's local engine met with, if a view was left to it.
        """
        several = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        here = [task for task in several if self._computes(task.feature_view)]
        done: dict[int, MaterializationJob] = {}
        if here:
            done = {id(task): job for task, job in zip(here, self._write(here), strict=True)}
        for task in several:
            if id(task) not in done:
                done[id(task)] = self._left_to_feast(registry, task, **kwargs)
        return [done[id(task)] for task in several]

    def _computes(self, view: FeatureView) -> bool:
        """Whether PostgreSQL alone can compute a view."""
        return (
            isinstance(self.repo_config.offline_store, PostgreSQLOfflineStoreConfig)
            and isinstance(view.batch_source, PostgreSQLSource)
            and not getattr(view, "feature_transformation", None)
            and not getattr(view, "aggregations", None)
        )

    def _left_to_feast(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> MaterializationJob:
        # Here, because these load dask, which takes longer than a materialization in PostgreSQL.
        from feast.infra.compute_engines.local.compute import LocalComputeEngine
        from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig

        config, offline = self.repo_config, self.offline_store
        if isinstance(task.feature_view.batch_source, FileSource) and not isinstance(
            offline, DaskOfflineStore
        ):
            # Feast's PostgreSQL store reads no files.
            config, offline = config.model_copy(), DaskOfflineStore()
            config._offline_store = DaskOfflineStoreConfig()
        local = LocalComputeEngine(repo_config=config, offline_store=offline, online_store=self.online_store)
        (job,) = local.materialize(registry, task, **kwargs)
        if error := job.error():
            raise error
        return job

    def _write(self, tasks: Sequence[MaterializationTask]) -> list[MaterializationJob]:
        config = self.repo_config
        with engine(database_settings(config.online_store)).begin() as connection:
            # `feast materialize` does not take the lock of `streamflow materialize`, so this one orders them.
            locks.wait(connection, locks.ENGINE)
            # In its own short transaction: this waits for drops that are being loaded, and its lock would
            # otherwise block new drops until the materialization ends.
            with transaction(database_settings(config.online_store)) as other:
                known_at = clock.known_now(other)
            ledger.refuse_rows_in_lake(connection)
            search_path = f"{config.offline_store.db_schema},public"
            connection.execute(
                sa.text("SELECT set_config('search_path', :path, true)"), {"path": search_path}
            )
            connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
            written = write_views(connection, config.online_store.db_schema, tasks, known_at)
            return [DoneJob(task, rows) for task, rows in zip(tasks, written, strict=True)]

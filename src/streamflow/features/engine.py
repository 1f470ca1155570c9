"""A batch engine for Feast that materializes all feature views in one SQL transaction.

`feast materialize` and `streamflow materialize` both run it. Rows go from the snapshots to the online tables
without leaving PostgreSQL. Because one transaction writes all views, a reader sees either the old values of
every view or the new ones, never a mixture.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from feast import Entity, FeatureView
from feast.infra.common.materialization_job import (
    MaterializationJob,
    MaterializationJobStatus,
    MaterializationTask,
)
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from streamflow.errors import UsageError
from streamflow.features.online_store import database_settings
from streamflow.features.online_tables import write_views
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
    """Materializes inside PostgreSQL; requires the offline and the online store to share one database.

    Raises:
        UsageError: The two stores are in different databases.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("type", None)
        super().__init__(**kwargs)
        offline, online = self.repo_config.offline_store, self.repo_config.online_store
        same = ("host", "port", "database")
        if any(getattr(offline, name, None) != getattr(online, name, None) for name in same):
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
        """Write each entity's newest row in each task's window, for all views in one transaction."""
        several = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        config = self.repo_config
        with engine(database_settings(config.online_store)).begin() as connection:
            # `feast materialize` does not take the lock of `streamflow materialize`, so this one orders them.
            locks.wait(connection, locks.ENGINE)
            # In its own short transaction: this waits for drops that are being loaded, and its lock would
            # otherwise block new drops until the materialization ends.
            with transaction(database_settings(config.online_store)) as other:
                known_at = clock.known_now(other)
            search_path = f"{config.offline_store.db_schema},public"
            connection.execute(
                sa.text("SELECT set_config('search_path', :path, true)"), {"path": search_path}
            )
            connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
            return [
                DoneJob(task, rows)
                for task, rows in zip(
                    several,
                    write_views(connection, config.online_store.db_schema, several, known_at),
                    strict=True,
                )
            ]

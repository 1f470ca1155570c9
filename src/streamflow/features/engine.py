"""Feast's batch engine as one SQL transaction: snapshots -> online tables, all feature views at once.

`feast materialize` and `streamflow materialize` both end here. The rows never leave PostgreSQL, and because all
views are written in one transaction a reader sees the old state or the new one, never half of each.
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
    """The engine has nothing to configure: it works where the offline and the online store are."""

    type: Literal["streamflow.features.engine.SnapshotEngine"] = "streamflow.features.engine.SnapshotEngine"


@dataclass
class DoneJob(MaterializationJob):  # type: ignore[misc]
    """A materialization that has ended well; one that does not raises."""

    task: MaterializationTask
    rows: int
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    def status(self) -> MaterializationJobStatus:
        """Always succeeded."""
        return MaterializationJobStatus.SUCCEEDED

    def error(self) -> BaseException | None:
        """Always none."""
        return None

    def should_be_retried(self) -> bool:
        """Never."""
        return False

    def job_id(self) -> str:
        """A random id."""
        return self.identity

    def url(self) -> str | None:
        """There is no page about it."""
        return None


class SnapshotEngine(ComputeEngine):  # type: ignore[misc]
    """Materializes inside PostgreSQL; needs the offline and the online store in one database."""

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
        """All feature views come in one call, so that they can share a transaction."""
        return True

    def update(
        self,
        project: str,
        views_to_delete: Sequence[FeatureView],
        views_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
    ) -> None:
        """There is no infrastructure to prepare."""

    def teardown_infra(self, project: str, fvs: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """There is no infrastructure to remove."""

    def materialize(
        self,
        registry: BaseRegistry,
        tasks: MaterializationTask | list[MaterializationTask],
        **kwargs: Any,
    ) -> list[MaterializationJob]:
        """Write the newest row per entity inside each task's window, all views in one transaction."""
        several = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        config = self.repo_config
        with engine(database_settings(config.online_store)).begin() as connection:
            # `feast materialize` beside `streamflow materialize`: the second waits for the first.
            locks.wait(connection, locks.ENGINE)
            # In a transaction of its own: it waits for a drop that is being loaded, and holds back none after it.
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

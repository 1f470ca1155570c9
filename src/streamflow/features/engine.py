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

from streamflow.database import engine, quote
from streamflow.errors import UsageError
from streamflow.features.online_store import STAMPS, database_settings, feature_names, key_columns, upsert


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
        """Copy the newest row per entity inside each task's window, all views in one transaction."""
        several = [tasks] if isinstance(tasks, MaterializationTask) else tasks
        config = self.repo_config
        with engine(database_settings(config.online_store)).begin() as connection:
            search_path = f"{config.offline_store.db_schema},public"
            connection.execute(
                sa.text("SELECT set_config('search_path', :path, true)"), {"path": search_path}
            )
            connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")
            return [DoneJob(task, _copy(connection, config.online_store.db_schema, task)) for task in several]


def _copy(connection: sa.Connection, schema: str, task: MaterializationTask) -> int:
    """Write one view; returns the number of entities written."""
    view = task.feature_view
    materialization_id = connection.execute(
        sa.text(
            f"INSERT INTO {quote(schema, 'materializations')} (feature_view, window_start, window_end, rows)"
            " VALUES (:view, :start, :end, 0) RETURNING materialization_id"
        ),
        {"view": view.name, "start": task.start_time, "end": task.end_time},
    ).scalar_one()
    keys, features = key_columns(view), feature_names(view)
    source = view.batch_source
    by = ", ".join(quote(key) for key in keys)
    stamp, created = quote(source.timestamp_field), source.created_timestamp_column
    created_sql = quote(created) if created else "NULL::timestamptz"
    columns = ", ".join(
        [by, *(f"{quote(_source_column(source, name))} AS {quote(name)}" for name in features)]
    )
    select = (
        f"SELECT DISTINCT ON ({by}) {columns}, {stamp} AS {STAMPS[0]}, {created_sql} AS {STAMPS[1]},"
        f" {materialization_id}::bigint AS {STAMPS[2]}"
        f" FROM {source.get_table_query_string()} AS snapshots WHERE {stamp} >= :start AND {stamp} <= :end"
        f" ORDER BY {by}, {stamp} DESC" + (f", {created_sql} DESC" if created else "")
    )
    window = {"start": task.start_time, "end": task.end_time}
    target = quote(schema, view.name)
    rows = int(connection.execute(sa.text(upsert(target, keys, features, select)), window).rowcount)
    connection.execute(
        sa.text(
            f"UPDATE {quote(schema, 'materializations')} SET rows = :rows, newest_as_of ="
            f" (SELECT max(event_timestamp) FROM {target}) WHERE materialization_id = :id"
        ),
        {"rows": rows, "id": materialization_id},
    )
    return rows


def _source_column(source: Any, feature: str) -> str:
    mapping = {name: column for column, name in (source.field_mapping or {}).items()}
    return str(mapping.get(feature, feature))

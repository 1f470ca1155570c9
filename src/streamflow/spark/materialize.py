"""Materialization with Spark: fill the online store from the lake, as known now."""

from __future__ import annotations

from datetime import datetime

from streamflow.features.materialize import materialize as materialize_views
from streamflow.features.store import open_store
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import MaterializedView
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings, LakeSettings, SparkSettings
from streamflow.spark import failures, session, snapshots


def materialize(
    database: DatabaseSettings, lake: LakeSettings, spark: SparkSettings, repo: FeatureRepo, as_of: datetime
) -> list[MaterializedView]:
    """Write each entity's newest values up to `as_of` into the online tables, for all views at once.

    Args:
        database: PostgreSQL, which has the ledger and the online store.
        lake: Where the rows are.
        spark: How to start Spark.
        repo: Definitions of the feature views.
        as_of: End of the window; the newest drop date to materialize.

    Raises:
        UsageError: There is no Java runtime, or a view's source is not a table.
        DependencyDown: PostgreSQL, Spark or the lake does not answer, or a task failed again and again.
    """
    started = session.started(spark)
    with transaction(database) as connection:
        known_at = clock.known_now(connection)
    tables = {table.name: table for table in map(repo.table_of_view, repo.feature_views)}
    with (
        failures.named("materialize, so the online store is as it was"),
        snapshots.frozen(started, database, lake.url, tables.values(), known_at),
    ):
        return materialize_views(database, repo, as_of, open_store(database, repo.path, engine="spark"))

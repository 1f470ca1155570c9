"""Build a training set with Spark: the same rows, frame and fingerprint as PostgreSQL's (`features.training_set`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from streamflow.drops import ledger
from streamflow.features.store import applied, open_store
from streamflow.features.training_set import (
    EVENT_TIMESTAMP,
    complete_rows,
    feature_schema,
    no_labels,
    of_complete_rows,
)
from streamflow.model_version.contract import Feature
from streamflow.model_version.training_set import LABEL, TrainingSet
from streamflow.postgres.engine import transaction
from streamflow.repo.declarations import SourceTable
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings, LakeSettings, SparkSettings
from streamflow.snapshots.as_of import label_as_of, of_a_drop
from streamflow.spark import failures, returned, session, snapshots

_WHAT = "join the training set, so nothing was trained"


def training_set(
    database: DatabaseSettings,
    lake: LakeSettings,
    spark: SparkSettings,
    repo: FeatureRepo,
    as_of: date | None,
    known_at: datetime,
) -> tuple[TrainingSet, list[ledger.LedgerEntry]]:
    """Join the labels and features of a date, seeing only what was loaded by a time.

    Args:
        database: How to connect to PostgreSQL, which has the ledger and Feast's registry.
        lake: Where the rows are.
        spark: How to start Spark.
        repo: Definitions of the label and the features.
        as_of: As-of of the features, which must be that of a drop; None takes that of the newest.
        known_at: Time up to which loaded rows are visible.

    Returns:
        The training set, and the drops that were loaded by `known_at`.

    Raises:
        UsageError: No drop of that as-of was loaded by `known_at`, Feast's registry does not contain these features,
            or there is no Java runtime.
        NotFound: No label of that as-of was, or no row has every required feature.
        NotYet: No drop was loaded by `known_at`.
        DependencyDown: PostgreSQL, Spark or the lake does not answer, or a task failed again and again.
    """
    with transaction(database) as connection:
        loaded = ledger.entries(connection, known_at)
    dates = [drop.as_of for drop in loaded]
    at = of_a_drop(dates, as_of)
    label_at = label_as_of(dates, at.date(), repo.label.horizon)
    started = session.started(spark)
    with (
        failures.named(_WHAT),
        snapshots.frozen(started, database, lake.url, _tables(repo), known_at) as frozen,
    ):
        built = _build(frozen, database, repo, (at, label_at, known_at))
    return built, loaded


def again(
    database: DatabaseSettings,
    lake: LakeSettings,
    spark: SparkSettings,
    repo: FeatureRepo,
    *,
    as_of: datetime,
    label_as_of: datetime,
    known_at: datetime,
) -> TrainingSet:
    """Build the training set of a recorded run again.

    Args:
        database: How to connect to PostgreSQL, which has the ledger and Feast's registry.
        lake: Where the rows are.
        spark: How to start Spark.
        repo: Definitions of the label and the features.
        as_of: As-of of the features.
        label_as_of: As-of of the labels.
        known_at: Time up to which loaded rows are visible.

    Raises:
        UsageError: Feast's registry lacks some of these features, or there is no Java runtime.
        NotFound: No label was loaded for `label_as_of`, or no row has all required features.
        DependencyDown: PostgreSQL, Spark or the lake does not answer.
    """
    started = session.started(spark)
    with (
        failures.named(_WHAT),
        snapshots.frozen(started, database, lake.url, _tables(repo), known_at) as frozen,
    ):
        return _build(frozen, database, repo, (as_of, label_as_of, known_at))


def _tables(repo: FeatureRepo) -> Iterable[SourceTable]:
    """The tables that a training set is joined from."""
    views = (repo.view(projection.name) for projection in repo.feature_service.feature_view_projections)
    return {table.name: table for table in (repo.label_table, *map(repo.table_of_view, views))}.values()


def _build(
    frozen: SparkSession,
    database: DatabaseSettings,
    repo: FeatureRepo,
    times: tuple[datetime, datetime, datetime],
) -> TrainingSet:
    at, label_at, known_at = times
    features, views = feature_schema(repo)
    labels = f"as_of = TIMESTAMP '{label_at.isoformat()}'"
    if frozen.table(repo.label_table.snapshots).where(labels).isEmpty():
        raise no_labels(label_at, known_at)
    # One drop date only, and of its rows the newest correction; see `features.training_set.build`.
    entities = (
        f"SELECT `{repo.join_key}`, TIMESTAMP '{at.isoformat()}' AS {EVENT_TIMESTAMP},"
        f" max_by(`{repo.label.column}`, loaded_at) AS {LABEL}"
        f" FROM {repo.label_table.snapshots} WHERE {labels} GROUP BY `{repo.join_key}`"
    )
    table, incomplete = complete_rows(
        _joined(database, repo, features, entities), repo.join_key, features, views
    )
    return of_complete_rows(
        table,
        repo.join_key,
        (features, views),
        as_of=at,
        label_as_of=label_at,
        known_at=known_at,
        incomplete=incomplete,
    )


def _joined(
    database: DatabaseSettings, repo: FeatureRepo, features: Sequence[Feature], entities: str
) -> pa.Table:
    """Have Feast join the features to the rows that the query `entities` selects."""
    store = open_store(database, repo.path, engine="spark")
    references = [f"{feature.view}:{feature.name}" for feature in features]
    with applied():
        joined = store.get_historical_features(features=references, entity_df=entities).to_spark_df()
    wanted = joined.drop(EVENT_TIMESTAMP)
    with returned.batches(wanted) as batches:
        return pa.Table.from_batches(batches, to_arrow_schema(wanted.schema, timezone="UTC"))

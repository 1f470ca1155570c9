"""An offline store for Feast that reads the lake's snapshots with Spark, for the sources that PostgreSQL's store has.

A feature repo names tables of PostgreSQL; here they are temporary views of the same names (`streamflow.spark.snapshots`).
"""

from __future__ import annotations

import contextlib
import copy
import io
import uuid
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
    MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN,
    SparkFeatureViewQueryContext,
    SparkOfflineStore,
    SparkOfflineStoreConfig,
    SparkRetrievalJob,
)
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import compute_non_entity_date_range
from pyspark.sql import DataFrame, SparkSession, functions

from streamflow.errors import NotFound, UsageError

_EVENT_TIMESTAMP = "event_timestamp"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LakeOfflineStoreConfig(SparkOfflineStoreConfig):  # type: ignore[misc]
    """Names the store; it reads through the active session of Spark."""

    type: Literal["streamflow.spark.offline_store.LakeOfflineStore"] = (
        "streamflow.spark.offline_store.LakeOfflineStore"
    )


class LakeRetrievalJob(SparkRetrievalJob):  # type: ignore[misc]
    """A retrieval job whose table comes from Spark as Arrow, so that integers with nulls stay integers."""

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        table: pa.Table = self.to_spark_df().toArrow()
        return table


class LakeOfflineStore(SparkOfflineStore):  # type: ignore[misc]
    """Feast's Spark store over the views of the active session, with the answers of the PostgreSQL store."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | DataFrame | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **kwargs: Any,
    ) -> RetrievalJob:
        """Join features point in time to entities: a DataFrame, a query in Spark's SQL, or None for a range of dates.

        Feast's own function collects the range of the entities' times in the time zone of the machine and takes it for
        UTC, so west of Greenwich it loses rows; it also prints, and changes the DataFrame that it is given.

        Raises:
            UsageError: A view does not read a table, or the entities have no column `event_timestamp`.
            NotFound: There are no entities.
        """
        views = [translated(view) for view in feature_views]
        session = active_session()
        if entity_df is None:
            start, end = compute_non_entity_date_range(
                feature_views, start_date=kwargs.get("start_date"), end_date=kwargs.get("end_date")
            )
            with _quiet():
                job = SparkOfflineStore.get_historical_features(
                    config, views, feature_refs, None, registry, project, full_feature_names,
                    filter_by_created_timestamp, start_date=start, end_date=end,
                )  # fmt: skip
            return _arrow_job(job)
        entities = _entities(session, entity_df)
        times = _range(entities)
        # The session ends with the views, so nobody need drop this one.
        name = f"entities_{uuid.uuid4().hex}"
        entities.createOrReplaceTempView(name)
        contexts = [
            SparkFeatureViewQueryContext(**vars(context), min_date_partition=None, max_date_partition=None)
            for context in offline_utils.get_feature_view_query_context(
                feature_refs, views, registry, project, times
            )
        ]
        query = offline_utils.build_point_in_time_query(
            feature_view_query_contexts=contexts,
            left_table_query_string=name,
            entity_df_event_timestamp_col=_EVENT_TIMESTAMP,
            entity_df_columns=dict.fromkeys(entities.columns).keys(),
            query_template=MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )
        return LakeRetrievalJob(
            spark_session=session,
            query=query,
            full_feature_names=full_feature_names,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in entities.columns if column != _EVENT_TIMESTAMP],
                min_event_timestamp=times[0],
                max_event_timestamp=times[1],
            ),
            config=config,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig, data_source: DataSource, *args: Any, **kwargs: Any
    ) -> RetrievalJob:
        """Select each entity's newest row in a span of time."""
        with _quiet():
            job = SparkOfflineStore.pull_latest_from_table_or_query(
                config, spark_source(data_source), *args, **kwargs
            )
        return _arrow_job(job)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig, data_source: DataSource, *args: Any, **kwargs: Any
    ) -> RetrievalJob:
        """Select all rows in a span of time."""
        with _quiet():
            job = SparkOfflineStore.pull_all_from_table_or_query(
                config, spark_source(data_source), *args, **kwargs
            )
        return _arrow_job(job)


def translated(view: FeatureView) -> FeatureView:
    """The same view over the source as Spark reads it.

    Raises:
        UsageError: Its source is not a table.
    """
    made = copy.copy(view)
    made.batch_source = spark_source(view.batch_source)
    return made


def spark_source(source: DataSource) -> SparkSource:
    """The temporary view in place of a table of PostgreSQL.

    Raises:
        UsageError: The source is neither a table nor one of Spark's own.
    """
    if isinstance(source, SparkSource):
        return source
    table = source.get_table_query_string() if isinstance(source, PostgreSQLSource) else "("
    if table.startswith("("):
        raise UsageError(
            f"The data source '{source.name}' is a {type(source).__name__} that names no table, so Spark cannot read it.",
            hint="With engine=spark, give it a table: PostgreSQLSource(table=…); see docs/feature-repo.md.",
        )
    with _quiet():
        return SparkSource(
            name=source.name,
            table=table,
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column,
            field_mapping=source.field_mapping,
        )


def _arrow_job(job: SparkRetrievalJob) -> LakeRetrievalJob:
    return LakeRetrievalJob(
        spark_session=job.spark_session,
        query=job.query,
        full_feature_names=job.full_feature_names,
        config=job._config,
        on_demand_feature_views=job.on_demand_feature_views,
        metadata=job.metadata,
    )


def active_session() -> SparkSession:
    """The session whose views Feast reads.

    Raises:
        UsageError: There is none.
    """
    session = SparkSession.getActiveSession()
    if session is None:
        raise UsageError(
            "Spark runs no session here, so there are no snapshots to read.",
            hint="Read the lake through streamflow, which opens its snapshots as known at a time.",
        )
    return session


def _entities(session: SparkSession, given: pd.DataFrame | str | DataFrame) -> DataFrame:
    """The entities as Spark has them; times without a time zone are UTC."""
    if isinstance(given, pd.DataFrame):
        table = pa.Table.from_pandas(given, preserve_index=False)
        if _EVENT_TIMESTAMP in table.column_names:
            times = pd.to_datetime(given[_EVENT_TIMESTAMP], utc=True)
            place = table.column_names.index(_EVENT_TIMESTAMP)
            table = table.set_column(
                place, _EVENT_TIMESTAMP, pa.array(times, type=pa.timestamp("us", tz="UTC"))
            )
        entities = session.createDataFrame(table)
    else:
        entities = session.sql(given) if isinstance(given, str) else given
    if _EVENT_TIMESTAMP not in entities.columns:
        raise UsageError(
            f"The entities have no column '{_EVENT_TIMESTAMP}'.",
            hint=f"Rename the column of their times to '{_EVENT_TIMESTAMP}'.",
        )
    return entities


def _range(entities: DataFrame) -> tuple[datetime, datetime]:
    """The earliest and the latest time of the entities, in one pass."""
    # As numbers: Spark gives Python times in the zone of the machine, without saying so.
    micros = functions.unix_micros(functions.col(_EVENT_TIMESTAMP).cast("timestamp"))
    earliest, latest = entities.agg(functions.min(micros), functions.max(micros)).collect()[0]
    if earliest is None:
        raise NotFound("There are no entities to join features to.")
    return _EPOCH + timedelta(microseconds=earliest), _EPOCH + timedelta(microseconds=latest)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what Feast prints, and its warnings that its Spark store is an experiment: our tests hold what it does."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield

"""An offline store for Feast that puts the entities of a DataFrame into the query, and reads by COPY.

Feast's own PostgreSQL store creates a table for them, for which a login needs the right to create one, and leaves it
behind if entities are queries otherwise (`entity_select_mode: embed_query`) or the query fails early.
"""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    EntitySelectMode,
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.type_map import arrow_to_pg_type
from feast.utils import compute_non_entity_date_range

from streamflow.errors import UsageError
from streamflow.features import one_time_join
from streamflow.features.copied_job import CopiedRetrievalJob
from streamflow.postgres.names import literal, quote

_EVENT_TIMESTAMP = "event_timestamp"
_TYPES = {
    "null": "text",
    "int8": "smallint",
    "binary": "bytea",
    "large_string": "text",
    "date32[day]": "date",
}
"""Column types where Feast names none, or one that PostgreSQL does not have."""


class EmbeddingOfflineStoreConfig(PostgreSQLOfflineStoreConfig):  # type: ignore[misc]
    """Connection settings of the offline store, with the fields of Feast's own PostgreSQL store."""

    type: Literal["streamflow.features.offline_store.EmbeddingOfflineStore"] = (
        "streamflow.features.offline_store.EmbeddingOfflineStore"
    )
    entity_select_mode: EntitySelectMode = EntitySelectMode.embed_query


class EmbeddingOfflineStore(PostgreSQLOfflineStore):  # type: ignore[misc]
    """Feast's PostgreSQL offline store, which never creates a table and reads its results by COPY."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **kwargs: Any,
    ) -> RetrievalJob:
        """Join features point in time to entities: a DataFrame, a query, or None for a range of dates.

        A query that is `EntitiesAt` is joined by a query of our own, which gives the same rows.

        Raises:
            UsageError: The DataFrame has no column `event_timestamp`.
        """
        if isinstance(entity_df, one_time_join.EntitiesAt) and not filter_by_created_timestamp:
            job = one_time_join.job(
                config,
                feature_views,
                feature_refs,
                entity_df,
                registry,
                project,
                full_feature_names=full_feature_names,
            )
            if job is not None:
                return job
        if entity_df is None:
            start, end = compute_non_entity_date_range(
                feature_views, start_date=kwargs.get("start_date"), end_date=kwargs.get("end_date")
            )
            kwargs |= {"start_date": start, "end_date": end}
            entity_df = pd.DataFrame({_EVENT_TIMESTAMP: [end]})
        query = query_of(entity_df) if isinstance(entity_df, pd.DataFrame) else entity_df
        with warnings.catch_warnings():
            # Feast hands pandas a psycopg connection, and pandas warns that it supports SQLAlchemy only.
            warnings.filterwarnings("ignore", message="pandas only supports SQLAlchemy")
            job = PostgreSQLOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                query,
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
                **kwargs,
            )
        return CopiedRetrievalJob.like(job)


def query_of(entities: pd.DataFrame) -> str:
    """SELECT of the rows of a DataFrame, in their order; its times without a time zone are UTC. Pure.

    Raises:
        UsageError: There is no column `event_timestamp`.
    """
    if _EVENT_TIMESTAMP not in entities:
        raise UsageError(
            f"The DataFrame of entities has no column '{_EVENT_TIMESTAMP}'.",
            hint=f"Rename the column of its times: entity_df.rename(columns={{...: '{_EVENT_TIMESTAMP}'}}).",
        )
    names = [str(name) for name in entities.columns]
    columns = ", ".join(
        f"{quote(name)} {_column_type(str(field.type))}"
        for name, field in zip(names, pa.Schema.from_pandas(entities, preserve_index=False), strict=True)
    )
    values = [[_plain(value) for value in entities[name].tolist()] for name in entities.columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return f"SELECT * FROM json_to_recordset({literal(json.dumps(rows))}) AS entities ({columns})"


def _column_type(arrow: str) -> str:
    if arrow.startswith("timestamp"):
        return "timestamptz"
    if arrow.startswith("dictionary<values=string"):
        return "text"
    return _TYPES.get(arrow) or str(arrow_to_pg_type(arrow))


def _plain(value: Any) -> Any:
    """A value as JSON takes it and PostgreSQL reads it back: from a string, unless JSON has its type."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if pd.api.types.is_scalar(value) and pd.isna(value):
        # NaN among them, as in Feast's own store.
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return value if isinstance(value, int | dict) else str(value)

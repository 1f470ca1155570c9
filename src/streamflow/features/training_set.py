"""Build a training set: the labels of one drop date, with features that Feast joins point in time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from streamflow import types
from streamflow.eligibility import Rules
from streamflow.errors import NotFound
from streamflow.features.store import applied, open_store
from streamflow.model_version.contract import Feature, View
from streamflow.model_version.fingerprint import fingerprint
from streamflow.model_version.training_set import LABEL, TrainingSet
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import quote
from streamflow.postgres.newest import per_entity
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings
from streamflow.types import FeatureType

EVENT_TIMESTAMP = "event_timestamp"


def feature_schema(repo: FeatureRepo) -> tuple[tuple[Feature, ...], tuple[View, ...]]:
    """Features of the feature service, in order, and their views, as a model's contract lists them.

    Raises:
        UsageError: The parts of the feature repo do not fit together.
    """
    features: list[Feature] = []
    views: list[View] = []
    for projection in repo.feature_service.feature_view_projections:
        view = repo.view(projection.name)
        table = repo.table_of_view(view)
        views.append(View(view.name, view.ttl.total_seconds() if view.ttl else None))
        for field in projection.features:
            # The repo's own rules hold here: the type is one that a model takes, and no string may be absent.
            kind = cast("FeatureType", types.name_of_feast(str(field.dtype)))
            column = table.column(field.name)
            nullable = column.null == "not_applicable"
            features.append(
                Feature(field.name, view.name, kind, nullable, column.categories if kind == "string" else ())
            )
    return tuple(features), tuple(views)


def planned(schema: str) -> str:
    """Value of Feast's `db_schema` that makes it read `schema` without nested loops. Pure.

    PostgreSQL expects only a few rows from the common table expressions of Feast's point-in-time join, and so
    may join them by a nested loop: with 300,000 users the query had not finished after 24 minutes; without
    nested loops it took 11 s. Feast has no setting for this, but copies `db_schema` into libpq's options
    unchanged, so that further options can follow the schema.
    """
    # The schema comes last because Feast appends ",public" to it.
    return f"public -c enable_nestloop=off -c search_path={schema}"


def build(
    database: DatabaseSettings,
    repo: FeatureRepo,
    *,
    as_of: datetime,
    label_as_of: datetime,
    known_at: datetime,
    db_schema: str,
    schema: tuple[tuple[Feature, ...], tuple[View, ...]] | None = None,
) -> TrainingSet:
    """Join labels and features point in time.

    Args:
        database: How to connect to PostgreSQL.
        repo: Definitions of the label and the features.
        as_of: Point in time of the join; no feature value is newer.
        label_as_of: Drop date of the labels; labels of other dates are never used.
        known_at: Load time at which the views in `db_schema` are frozen; only recorded here.
        db_schema: Schema of the snapshot views that Feast reads.
        schema: Features and their views; None uses those of the feature service.

    Raises:
        NotFound: There are no labels, or no row has every required feature.
        UsageError: Feast's registry does not contain these features.
    """
    features, views = schema or feature_schema(repo)
    table = repo.label_table
    key = quote(repo.join_key)
    # One drop date only: each user's newest label up to `as_of` could come from an earlier drop. The
    # newest row is the newest correction. The label's column is renamed, because a feature might have the same name.
    selected = [
        key,
        f"TIMESTAMPTZ '{as_of.isoformat()}' AS {EVENT_TIMESTAMP}",
        f"{quote(repo.label.column)} AS {LABEL}",
    ]
    labels = f"as_of = TIMESTAMPTZ '{label_as_of.isoformat()}'"
    entities = per_entity(selected, table.snapshots, [key], ["loaded_at"], labels)
    if not _labelled(database, db_schema, table.snapshots, labels):
        raise NotFound(
            f"No labels of {label_as_of.date()} were known at {known_at.isoformat()}.",
            hint="Ingest that drop, or give a later --known-at. Months that retention.months dropped do not come back.",
        )
    joined = _joined(database, repo, db_schema, features, entities)
    rows, incomplete = complete_rows(joined, repo.join_key, features, views)
    features = with_categories(features, rows)
    frame = pd.DataFrame(
        {
            repo.join_key: [row[0] for row in rows],
            **{
                feature.name: _column(feature, [row[i + 1] for row in rows])
                for i, feature in enumerate(features)
            },
            LABEL: pd.array([row[-1] for row in rows], dtype="bool"),
        }
    )
    columns = [(repo.join_key, "string"), *((f.name, f.type) for f in features), (LABEL, "bool")]
    return TrainingSet(
        frame=frame,
        key=repo.join_key,
        features=features,
        views=views,
        as_of=as_of,
        label_as_of=label_as_of,
        known_at=known_at,
        fingerprint=fingerprint(columns, rows),
        incomplete=incomplete,
    )


def _labelled(database: DatabaseSettings, db_schema: str, table: str, labels: str) -> bool:
    """Whether there is a label: Feast fails without saying why if there is none."""
    with transaction(database) as connection:
        connection.execute(sa.text("SELECT set_config('search_path', :schema, true)"), {"schema": db_schema})
        return bool(
            connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {table} WHERE {labels})").scalar()
        )


def _joined(
    database: DatabaseSettings, repo: FeatureRepo, db_schema: str, features: Sequence[Feature], entities: str
) -> pa.Table:
    """Have Feast join the features to the rows that the query `entities` selects."""
    store = open_store(database, repo.path, db_schema=planned(db_schema))
    references = [f"{feature.view}:{feature.name}" for feature in features]
    with warnings.catch_warnings():
        # Feast hands pandas a psycopg connection, and pandas warns that it supports SQLAlchemy only.
        warnings.filterwarnings("ignore", message="pandas only supports SQLAlchemy")
        with applied():
            return store.get_historical_features(features=references, entity_df=entities).to_arrow()


def complete_rows(
    joined: pa.Table, key: str, features: Sequence[Feature], views: Sequence[View]
) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    """Select the rows that have a usable value for every required feature.

    Predictions are refused for the other rows, so models are not trained on them either.

    Returns:
        The complete rows (key, features…, label) sorted by key, and how many rows lack each feature.

    Raises:
        NotFound: No row is complete.
    """
    names = [key, *(feature.name for feature in features), LABEL]
    columns = [joined.column(name).to_pylist() for name in names]
    rules = Rules(features, views)
    incomplete: dict[str, int] = {}
    rows = []
    for row in zip(*columns, strict=True):
        lacking = rules.lacking(row[1:-1])
        for i in lacking:
            incomplete[features[i].name] = incomplete.get(features[i].name, 0) + 1
        if not lacking:
            rows.append(row)
    if not rows:
        raise NotFound(
            "No row of the training set has all required features.",
            details=tuple(f"{name} is missing in {count} rows" for name, count in incomplete.items()),
            hint="Ingest the drop of that as-of, and check its quarantine with 'streamflow drops quarantine'.",
        )
    return sorted(rows, key=lambda row: str(row[0])), incomplete


def with_categories(features: Sequence[Feature], rows: Sequence[tuple[Any, ...]]) -> tuple[Feature, ...]:
    """Give string features without declared categories the values that occur in `rows`."""
    return tuple(
        Feature(f.name, f.view, f.type, f.nullable, tuple(sorted({row[i + 1] for row in rows})))
        if f.type == "string" and not f.categories
        else f
        for i, f in enumerate(features)
    )


def frame_of(features: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Turn rows of plain values, with None for null, into the frame that estimators take."""
    return pd.DataFrame(
        {feature.name: _column(feature, [row[i] for row in rows]) for i, feature in enumerate(features)}
    )


def _column(feature: Feature, values: list[Any]) -> pd.Series[Any]:
    """A pandas column as estimators take it; a column that may contain nulls is float, with NaN for null."""
    if feature.nullable or feature.type == "float":
        return pd.Series(
            [float("nan") if value is None else float(value) for value in values], dtype="float64"
        )
    return pd.Series(values, dtype=types.of(feature.type).numpy)

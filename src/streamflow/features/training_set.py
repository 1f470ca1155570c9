"""Build a training set: the labels of one drop date, with features that Feast joins point in time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import compute as pc

from streamflow import types
from streamflow.eligibility import Columns, Rules
from streamflow.errors import NotFound
from streamflow.features.one_time_join import EntitiesAt
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

    PostgreSQL expects only a few rows from each view of a point-in-time join, whose as-of it computes, and so may
    join them by a nested loop: with 300,000 users Feast's query ran for more than 24 minutes. Feast has no
    setting for this, but copies `db_schema` into libpq's options unchanged, so that further options can follow the
    schema.
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
    entities = EntitiesAt(
        per_entity(selected, table.snapshots, [key], ["loaded_at"], labels),
        timestamp=EVENT_TIMESTAMP,
        moment=as_of,
        others=(repo.join_key, LABEL),
    )
    if not _labelled(database, db_schema, table.snapshots, labels):
        raise no_labels(label_as_of, known_at)
    # Without a name for what Feast joins, so that it is gone when the frame is made.
    table, incomplete = complete_rows(
        _joined(database, repo, db_schema, features, entities), repo.join_key, features, views
    )
    return of_complete_rows(
        table,
        repo.join_key,
        (features, views),
        as_of=as_of,
        label_as_of=label_as_of,
        known_at=known_at,
        incomplete=incomplete,
    )


def of_complete_rows(
    table: pa.Table,
    key: str,
    schema: tuple[tuple[Feature, ...], tuple[View, ...]],
    *,
    as_of: datetime,
    label_as_of: datetime,
    known_at: datetime,
    incomplete: dict[str, int],
) -> TrainingSet:
    """The training set of rows from `complete_rows`; `build` explains the other arguments."""
    features = with_categories(schema[0], table)
    columns = [(key, "string"), *((f.name, f.type) for f in features), (LABEL, "bool")]
    # Before the frame is made, whose texts are larger than the table's.
    digest = fingerprint(columns, table)
    return TrainingSet(
        frame=_frame(table, key, features),
        key=key,
        features=features,
        views=schema[1],
        as_of=as_of,
        label_as_of=label_as_of,
        known_at=known_at,
        fingerprint=digest,
        incomplete=incomplete,
    )


def no_labels(label_as_of: datetime, known_at: datetime) -> NotFound:
    """The error of a training set without labels."""
    return NotFound(
        f"No labels of {label_as_of.date()} were known at {known_at.isoformat()}.",
        hint="Ingest that drop, or give a later --known-at. Months that retention.months dropped do not come back.",
    )


def _labelled(database: DatabaseSettings, db_schema: str, table: str, labels: str) -> bool:
    """Whether there is a label: Feast fails without saying why if there is none."""
    with transaction(database) as connection:
        connection.execute(sa.text("SELECT set_config('search_path', :schema, true)"), {"schema": db_schema})
        return bool(
            connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {table} WHERE {labels})").scalar()
        )


def _joined(
    database: DatabaseSettings,
    repo: FeatureRepo,
    db_schema: str,
    features: Sequence[Feature],
    entities: EntitiesAt,
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
) -> tuple[pa.Table, dict[str, int]]:
    """Select the rows that have a usable value for every required feature.

    Predictions are refused for the other rows, so models are not trained on them either.

    Returns:
        The complete rows (key, features…, label) sorted by key, and how many rows lack each feature.

    Raises:
        NotFound: No row is complete.
    """
    columns = [joined.column(feature.name) for feature in features]
    absent = [_mask(column.is_null()) for column in columns]
    values = [
        _doubles(column) if feature.type == "float" else mask
        for feature, column, mask in zip(features, columns, absent, strict=True)
    ]
    lacking = Rules(features, views).lacking_columns(Columns(values, absent, ()))
    counts = {feature.name: int(mask.sum()) for feature, mask in zip(features, lacking, strict=True)}
    incomplete = {name: count for name, count in counts.items() if count}
    complete = np.flatnonzero(~np.logical_or.reduce(lacking)) if lacking else np.arange(joined.num_rows)
    if not len(complete):
        raise NotFound(
            "No row of the training set has all required features.",
            details=tuple(f"{name} is missing in {count} rows" for name, count in incomplete.items()),
            hint="Ingest the drop of that as-of, and check its quarantine with 'streamflow drops quarantine'.",
        )
    keys = joined.column(key).cast(pa.string()).take(pa.array(complete))
    # Arrow compares the bytes of UTF-8, whose order is that of Python's strings.
    order = pa.array(complete[pc.array_sort_indices(keys.combine_chunks()).to_numpy()])
    names = [key, *(feature.name for feature in features), LABEL]
    unsorted = {name: joined.column(name) for name in names}
    del joined, columns, absent, values, lacking, complete, keys
    # Each column is freed once it is sorted.
    return pa.table({name: unsorted.pop(name).take(order) for name in names}), incomplete


def with_categories(features: Sequence[Feature], table: pa.Table) -> tuple[Feature, ...]:
    """Give string features without declared categories the values that occur in `table`."""
    return tuple(
        Feature(f.name, f.view, f.type, f.nullable, tuple(sorted(table.column(f.name).unique().to_pylist())))
        if f.type == "string" and not f.categories
        else f
        for f in features
    )


def frame_of(features: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Turn rows of plain values, with None for null, into the frame that estimators take."""
    columns = {feature.name: pa.array([row[i] for row in rows]) for i, feature in enumerate(features)}
    return pd.DataFrame({feature.name: _column(feature, columns[feature.name]) for feature in features})


def _frame(table: pa.Table, key: str, features: Sequence[Feature]) -> pd.DataFrame:
    """The frame of complete rows; its numbers are those of the table, without a copy."""
    columns = {
        # Objects of Python would take 56 bytes more for each key.
        key: pd.Series(pd.arrays.ArrowExtensionArray(table.column(key))),
        **{feature.name: _column(feature, table.column(feature.name)) for feature in features},
        LABEL: _mask(table.column(LABEL).fill_null(False)),
    }
    return pd.DataFrame(columns, copy=False)


def _column(feature: Feature, column: pa.Array | pa.ChunkedArray) -> Any:
    """A column as estimators take it; a column that may contain nulls is float, with NaN for null."""
    if feature.nullable or feature.type == "float":
        return _doubles(column)
    if feature.type == "string":
        return column.to_pandas()
    return column.cast(types.of(feature.type).arrow).to_numpy(zero_copy_only=False)


def _doubles(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Numbers as floats, with NaN for null. Integers beyond 2^53 are rounded."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    doubles: npt.NDArray[np.float64] = whole.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return doubles


def _mask(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = column.to_numpy(zero_copy_only=False)
    return mask

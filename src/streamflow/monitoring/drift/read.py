"""Read what is compared: the version in production, the features of a month as counts by value, and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from streamflow import types as value_types
from streamflow.errors import NotYet
from streamflow.lake import ledger
from streamflow.model_version import files as version_files
from streamflow.model_version.aliases import PRODUCTION
from streamflow.model_version.contract import Contract, Feature
from streamflow.monitoring import lake_rows
from streamflow.monitoring.drift import distributions
from streamflow.monitoring.drift.distributions import Numbers
from streamflow.monitoring.drift.feature import Column
from streamflow.postgres import copied, statements
from streamflow.postgres.names import FEATURES, quote
from streamflow.postgres.newest import per_entity
from streamflow.repo.definitions import FeatureRepo

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_ROW = "row"


@dataclass(frozen=True)
class Served:
    """The version in production.

    Attributes:
        version: Number of the version.
        contract: Its contract.
    """

    version: int
    contract: Contract


@dataclass(frozen=True)
class Drop:
    """A drop that is judged.

    Attributes:
        drop_id: Id of the drop.
        as_of: As-of of the drop.
        loaded_at: Load time of the drop.
    """

    drop_id: str
    as_of: datetime
    loaded_at: datetime


@dataclass(frozen=True)
class Month:
    """The features of a month.

    Attributes:
        rows: Rows of the view that has the most.
        columns: Values of each feature that the feature repo has, by name.
    """

    rows: int
    columns: Mapping[str, Column]


def served(connection: sa.Connection, model: str) -> Served:
    """Read the version in production and its contract.

    Raises:
        NotYet: Nothing is in production, or the files of what is are not stored.
    """
    values = {"model": model, "alias": PRODUCTION, "file": version_files.CONTRACT}
    row = connection.execute(sa.text(_SQL["in_production"]), values).first()
    if row is None or row.contract is None:
        raise NotYet(
            f"No version of {model} is promoted to '{PRODUCTION}', so there is nothing to compare a month with.",
            hint=f'Promote one: streamflow models promote VERSION --to {PRODUCTION} --why "…".',
        )
    return Served(row.version, Contract.from_json(bytes(row.contract).decode()))


def newest_drop(connection: sa.Connection, known_at: datetime, as_of: datetime | None) -> Drop | None:
    """The newest drop of an as-of that was loaded up to `known_at`, by default of the newest as-of; None for none."""
    row = connection.execute(sa.text(_SQL["newest_drop"]), {"known_at": known_at, "as_of": as_of}).first()
    return None if row is None else Drop(**row._mapping)


def month(
    connection: sa.Connection,
    repo: FeatureRepo,
    contract: Contract,
    as_of: datetime,
    known_at: datetime,
    lake: str,
) -> Month:
    """Count the values of the features of a contract as of a date, as known at a time.

    A view is read and counted before the next one, so that memory holds the columns of a single one.

    Args:
        connection: Connection to read on.
        repo: The feature repo.
        contract: The contract.
        as_of: The month.
        known_at: Newest load time of a row.
        lake: URL of the lake; "" reads PostgreSQL.

    Raises:
        Refused: The rows are in the other one of them.
        DependencyDown: The lake does not answer.
    """
    if not lake:
        ledger.refuse_rows_in_lake(connection)
    known = {view.name: {feature.name for feature in view.features} for view in repo.feature_views}
    columns: dict[str, Column] = {}
    rows = 0
    # A single drop has one row per entity, which need not be sorted.
    values = {"as_of": as_of, "known_at": known_at}
    corrected = bool(connection.execute(sa.text(_SQL["corrected"]), values).scalar_one())
    for view in contract.views:
        features = [
            feature
            for feature in contract.features
            if feature.view == view.name and feature.name in known.get(view.name, ())
        ]
        if not features:
            continue
        if lake:
            source = repo.table_of_view(repo.view(view.name))
            names = [_column(repo, view.name, feature) for feature in features]
            table = lake_rows.of_month(connection, lake, source, names, as_of, known_at)
        else:
            types = {_ROW: pa.int8()} | {
                f"f{at}": pa.type_for_alias(value_types.of(feature.type).arrow)
                for at, feature in enumerate(features)
            }
            select = _statement(repo, view.name, features, (as_of, known_at), corrected=corrected)
            table = copied.table(connection, select, types)
        rows = max(rows, table.num_rows)
        columns |= {
            feature.name: _counted(feature, table.column(at)) for at, feature in enumerate(features, start=1)
        }
    return Month(rows, columns)


def _column(repo: FeatureRepo, view: str, feature: Feature) -> str:
    """The column of the source table that a feature is read from."""
    mapping: dict[str, str] = repo.view(view).batch_source.field_mapping or {}
    return next((column for column, name in mapping.items() if name == feature.name), feature.name)


def _statement(
    repo: FeatureRepo,
    view: str,
    features: list[Feature],
    times: tuple[datetime, datetime],
    *,
    corrected: bool,
) -> str:
    as_of, known_at = (moment.isoformat() for moment in times)
    source: Any = repo.view(view).batch_source
    stamp, created = quote(source.timestamp_field), quote(source.created_timestamp_column)
    # A constant first: a row of CSV that is a single null would be an empty line.
    columns = [f"1 AS {_ROW}"]
    columns += [f"{quote(_column(repo, view, item))} AS f{at}" for at, item in enumerate(features)]
    where = f"{stamp} = TIMESTAMPTZ '{as_of}' AND {created} <= TIMESTAMPTZ '{known_at}'"
    table = quote(FEATURES, source.name)
    if not corrected:
        return f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"
    return per_entity(columns, table, [quote(repo.join_key)], [created], where)


def _counted(feature: Feature, column: Any) -> Column:
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    absent = int(values.null_count)
    if feature.type in ("string", "bool"):
        counted = values.drop_null().value_counts()
        pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
        return Column({_class(value): int(count) for value, count in pairs}, absent)
    numbers = values.drop_null().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    found = distributions.of(numbers)
    # A model takes no infinite value either.
    return Column(found, absent + len(numbers) - found.rows)


def _class(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def newest_scoring(connection: sa.Connection, model: str, version: Served, drop: Drop) -> int | None:
    """The newest scoring of a drop by a version whose scores are kept; None for none."""
    values = {
        "model": model,
        "version": version.version,
        "fingerprint": version.contract.fingerprint,
        "as_of": drop.as_of,
        "loaded_at": drop.loaded_at,
    }
    found: int | None = connection.execute(sa.text(_SQL["newest_scoring"]), values).scalar()
    return found


def scores(
    connection: sa.Connection, model: str, version: Served, drop: Drop, bins: int
) -> tuple[Numbers, str]:
    """The scores that a version gave a month, by bin; none with the reason."""
    scoring = newest_scoring(connection, model, version, drop)
    if scoring is None:
        return binned(
            np.zeros(bins)
        ), "the version has not scored this drop, or its scores are no longer kept"
    counts = np.zeros(bins)
    for row in connection.execute(sa.text(_SQL["scores"]), {"scoring_id": scoring, "bins": bins}):
        counts[row.bin] = row.rows
    return binned(counts), ""


def binned(counts: Any) -> Numbers:
    """The distribution of scores that are counted in bins of equal width of the interval from 0 to 1. Pure."""
    held = np.flatnonzero(counts)
    return Numbers((held + 0.5) / len(counts), np.asarray(counts)[held].astype(np.int64))

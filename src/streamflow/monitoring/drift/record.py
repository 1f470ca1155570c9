"""Verdicts on drift in the tables `monitoring.drift` and `monitoring.drift_features`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.monitoring.drift.feature import Feature
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Verdict:
    """A verdict on a month.

    Attributes:
        drift_id: Number of the recorded verdict; None if it is not recorded.
        model: Registered model.
        version: Version in production.
        as_of: Month that is judged.
        known_at: Load time up to which rows were read.
        drop_id: Newest drop of the month; empty without one.
        position: Number of the verdict among those of the version, from 1.
        alpha: Error rate that the verdict spends.
        verdict: Outcome for the whole.
        why: Why there is no data, and of which features.
        rows: Rows of the month.
        reference_as_of: As-of of the version's training set.
        reference_known_at: Known-at of the version's training set.
        reference_rows: Rows of the reference.
        features: Verdicts on the features, and on the score.
    """

    drift_id: int | None
    model: str
    version: int
    as_of: datetime
    known_at: datetime
    drop_id: str
    position: int
    alpha: float
    verdict: str
    why: str
    rows: int
    reference_as_of: datetime
    reference_known_at: datetime
    reference_rows: int
    features: tuple[Feature, ...]


def may_record(connection: sa.Connection) -> bool:
    """Whether this login may add verdicts."""
    return bool(connection.execute(sa.text(_SQL["may_record"])).scalar_one())


def next_position(connection: sa.Connection, model: str, version: int) -> int:
    """Position of the next verdict on a version."""
    values = {"model": model, "version": version}
    return int(connection.execute(sa.text(_SQL["next_position"]), values).scalar_one())


def recorded(connection: sa.Connection, asked: Verdict) -> Verdict | None:
    """The recorded verdict on a month and its drop; None if it was not judged.

    Args:
        connection: Connection to read on.
        asked: Model, version, as-of and drop; the rest of it is replaced.
    """
    values = {"model": asked.model, "version": asked.version, "as_of": asked.as_of, "drop_id": asked.drop_id}
    row = connection.execute(sa.text(_SQL["recorded"]), values).first()
    if row is None:
        return None
    rows = connection.execute(sa.text(_SQL["recorded_features"]), {"drift_id": row.drift_id})
    features = tuple(Feature(**feature._mapping) for feature in rows)
    return replace(asked, **row._mapping, features=features)


def record(connection: sa.Connection, verdict: Verdict) -> Verdict:
    """Add a verdict; return it with its number."""
    values = {name: value for name, value in asdict(verdict).items() if name not in ("drift_id", "features")}
    drift_id = connection.execute(sa.text(_SQL["record"]), values).scalar_one()
    features = [
        {**asdict(feature), "detail": json.dumps(feature.detail), "drift_id": drift_id}
        for feature in verdict.features
    ]
    connection.execute(sa.text(_SQL["record_feature"]), features)
    return replace(verdict, drift_id=drift_id)

"""Judge a month against the training set of the version in production, once for each drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from streamflow import log
from streamflow.errors import NotYet
from streamflow.monitoring.drift import month, read, record
from streamflow.monitoring.drift.distributions import Numbers
from streamflow.monitoring.drift.feature import DRIFTED, NO_DATA, Column, Feature, Thresholds
from streamflow.monitoring.drift.month import Compared
from streamflow.monitoring.drift.read import Drop, Month, Served
from streamflow.monitoring.drift.record import Verdict
from streamflow.postgres import clock, locks
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings
from streamflow.settings.monitoring import MonitoringSettings
from streamflow.times import midnight


def judge(
    database: DatabaseSettings,
    model: str,
    repo: Path,
    limits: MonitoringSettings,
    as_of: date | None = None,
    *,
    lake: str = "",
    patience: timedelta = timedelta(0),
) -> Verdict:
    """Judge a month, or return the verdict that it has.

    A verdict is recorded once for each version, month and drop, if this login may record it. What cannot be compared is
    not: a month without a drop, and the one that the version was trained on.

    Args:
        database: How to connect to PostgreSQL.
        model: Registered model.
        repo: Folder of the feature repo.
        limits: What counts as drift.
        as_of: The month; default: the newest drop's.
        lake: URL of the lake that has the rows; "" reads them in PostgreSQL.
        patience: How long to wait for the scores of a drop, from when it was loaded.

    Raises:
        NotYet: Nothing is in production, or no drop has been ingested.
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(database) as connection:
        # One at a time: two verdicts of one position would spend its error rate twice.
        locks.wait(connection, locks.of_drift(model))
        served = read.served(connection, model)
        known_at = clock.known_without_stamp(connection, None)
        drop = read.newest_drop(connection, known_at, midnight(as_of) if as_of else None)
        if drop is None and as_of is None:
            raise NotYet(
                "No drop has been ingested.", hint="Put one into the inbox and run the job 'ingest'."
            )
        asked = _asked(connection, model, served, known_at, drop or Drop("", midnight(as_of), known_at))  # type: ignore[arg-type]
        if drop is None:
            return replace(asked, why=f"there is no drop as of {as_of}")
        if drop.as_of == asked.reference_as_of and drop.loaded_at <= asked.reference_known_at:
            return replace(asked, why="the version was trained on this month")
        if (found := record.recorded(connection, asked)) is not None:
            return replace(found, features=_in_order(found.features, served))
        age = clock.read(connection).next - drop.loaded_at
        if age < patience and read.newest_scoring(connection, model, served, drop) is None:
            return replace(asked, why="the version has not scored this drop yet")
        verdict = _judged(connection, definitions.load(repo), served, drop, asked, limits, lake)
        if not record.may_record(connection):
            return verdict
        verdict = record.record(connection, verdict)
    if verdict.verdict == DRIFTED:
        names = [feature.name for feature in verdict.features if feature.outcome == DRIFTED]
        log.get(__name__).warning("features drifted", as_of=verdict.as_of.date().isoformat(), features=names)
    return verdict


def _in_order(features: Sequence[Feature], served: Served) -> tuple[Feature, ...]:
    """In the order of the contract, the score last."""
    order = {name: at for at, name in enumerate(served.contract.feature_names)}
    return tuple(sorted(features, key=lambda feature: order.get(feature.name, len(order))))


def _asked(connection: sa.Connection, model: str, served: Served, known_at: datetime, drop: Drop) -> Verdict:
    """The verdict as far as it is known before anything is compared."""
    position = record.next_position(connection, model, served.version)
    return Verdict(
        drift_id=None,
        model=model,
        version=served.version,
        as_of=drop.as_of,
        known_at=known_at,
        drop_id=drop.drop_id,
        position=position,
        alpha=month.alpha_of(position),
        verdict=NO_DATA,
        why="",
        rows=0,
        reference_as_of=datetime.fromisoformat(served.contract.as_of),
        reference_known_at=datetime.fromisoformat(served.contract.known_at),
        reference_rows=0,
        features=(),
    )


def _judged(
    connection: sa.Connection,
    repo: FeatureRepo,
    served: Served,
    drop: Drop,
    asked: Verdict,
    limits: MonitoringSettings,
    lake: str,
) -> Verdict:
    contract = served.contract
    reference = read.month(connection, repo, contract, asked.reference_as_of, asked.reference_known_at, lake)
    current = read.month(connection, repo, contract, drop.as_of, asked.known_at, lake)
    columns = _columns(served, reference, current)
    name = month.SCORE if month.SCORE not in columns else f"{month.SCORE} of the model"
    columns[name] = _score(connection, asked.model, served, drop)
    thresholds = Thresholds(
        limits.smallest_shift, limits.smallest_share, limits.blind_shift, limits.blind_share
    )
    features: list[Feature] = month.features_of(columns, asked.alpha, thresholds)
    return replace(
        asked,
        verdict=month.outcome(features),
        why=month.why(features),
        rows=current.rows,
        reference_rows=reference.rows,
        features=tuple(features),
    )


def _columns(served: Served, reference: Month, current: Month) -> dict[str, Compared]:
    """Both sides of each feature of the contract."""
    found: dict[str, Compared] = {}
    gone = "" if reference.rows else "the rows of the training set are no longer there"
    for feature in served.contract.features:
        category = feature.type in ("string", "bool")
        nothing = Column({}) if category else Column(Numbers(np.zeros(0), np.zeros(0, dtype=np.int64)))
        missing = "" if feature.name in current.columns else "the feature repo no longer has it"
        found[feature.name] = Compared(
            reference.columns.get(feature.name, nothing),
            current.columns.get(feature.name, nothing),
            feature.nullable,
            missing or gone,
        )
    return found


def _score(connection: sa.Connection, model: str, served: Served, drop: Drop) -> Compared:
    """The scores of the holdout, and those that the version gave the month, in the same bins."""
    bins = np.array(served.contract.holdout.get("bins", ()), dtype=np.int64).reshape(-1, 2).sum(axis=1)
    if not bins.sum():
        empty = Column(read.binned(np.zeros(1)))
        return Compared(empty, empty, why="the contract of the version has no scores of its holdout")
    scores, why = read.scores(connection, model, served, drop, len(bins))
    return Compared(Column(read.binned(bins)), Column(scores), why=why)

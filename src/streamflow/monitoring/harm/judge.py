"""Judge the months that have no verdict on harm yet, and record the verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow import log
from streamflow.monitoring.harm import months, read
from streamflow.monitoring.harm.months import Month
from streamflow.monitoring.harm.verdict import HARMFUL, Judgement, Reference, judge
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Verdict:
    """A recorded verdict, a row of `monitoring.harm`.

    Attributes:
        harm_id: Number of the verdict.
        basis: `estimated` or `realized`.
        as_of: Month that was judged.
        known_at: Load time up to which rows were read.
        drop_id: Newest drop of the month that was read.
        label_drop_id: Drop that the labels come from; empty for an estimate.
        position: Number of the verdict among those of the version and the basis, from 1.
        alpha: Error rate that it spends.
        rows: Rows of the month.
        loss: Mean loss of the month.
        loss_low: Lower bound of its expected loss.
        reference_loss: Mean loss of the holdout.
        reference_high: Upper bound of its expected loss.
        tolerance: Increase over the holdout's loss that is not yet harm.
        verdict: `harmful`, `not_shown`, `too_few_rows` or `no_data`.
        why: The reason, in plain words.
        judged_at: Time of the row.
    """

    harm_id: int
    basis: str
    as_of: datetime
    known_at: datetime
    drop_id: str
    label_drop_id: str
    position: int
    alpha: float
    rows: int
    loss: float | None
    loss_low: float | None
    reference_loss: float | None
    reference_high: float | None
    tolerance: float
    verdict: str
    why: str
    judged_at: datetime

    @property
    def key(self) -> tuple[str, datetime, str, str]:
        """What it was about, as `Month.key`."""
        return self.basis, self.as_of, self.drop_id, self.label_drop_id


def judge_due(database: DatabaseSettings, model: str, tolerance: float) -> int | None:
    """Judge every month of the version in production that has no verdict yet.

    Args:
        database: How to connect to PostgreSQL.
        model: Registered model.
        tolerance: Increase of the loss over that of the holdout that is not yet harm.

    Returns:
        The version in production; None without one.
    """
    with transaction(database) as connection:
        version = read.served(connection, model)
        if version is None:
            return None
        known = verdicts(connection, model, version.version)
        horizon = int(version.contract.label["horizon"])
        due = months.due(
            read.scored(connection, model, version), read.drops(connection), horizon, {v.key for v in known}
        )
        if not due or not connection.execute(sa.text(_SQL["may_record"])).scalar_one():
            return version.version
        reference = Reference.of_holdout(version.contract.holdout)
        done = Counter(v.basis for v in known)
        for month in due:
            done[month.basis] += 1
            losses, missing = read.losses_of(connection, version.contract, month)
            found = judge(reference, losses, done[month.basis], tolerance, missing)
            _record(connection, model, version.version, month, found)
    return version.version


def verdicts(connection: sa.Connection, model: str, version: int) -> Sequence[Verdict]:
    """All verdicts on a version, oldest first."""
    rows = connection.execute(sa.text(_SQL["verdicts"]), {"model": model, "version": version})
    return [Verdict(**row._mapping) for row in rows]


def _record(connection: sa.Connection, model: str, version: int, month: Month, found: Judgement) -> None:
    basis, as_of, drop_id, label_drop_id = month.key
    values = {
        "model": model,
        "version": version,
        "basis": basis,
        "as_of": as_of,
        "known_at": month.known_at,
        "drop_id": drop_id,
        "label_drop_id": label_drop_id,
        **asdict(found),
    }
    connection.execute(sa.text(_SQL["record"]), values)
    if found.verdict == HARMFUL:
        log.get(__name__).warning(
            "the version in production does harm",
            version=version,
            basis=basis,
            as_of=as_of.date().isoformat(),
            why=found.why,
        )

"""Add verdicts to `monitoring.harm`, and read them back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.monitoring.harm.verdict import Judgement
from streamflow.monitoring.quality.months import REALIZED, Judged, Task
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Recorded(Judgement):
    """A verdict on the loss of a month, as it was recorded.

    Attributes:
        harm_id: Number of the verdict.
        basis: `estimated` or `realized`.
        as_of: Month that was judged.
        known_at: Load time up to which rows were read.
        drop_id: Newest drop of the month that was read.
        label_drop_id: Drop that the labels come from; empty for an estimate.
        judged_at: Time of the row.
    """

    harm_id: int
    basis: str
    as_of: datetime
    known_at: datetime
    drop_id: str
    label_drop_id: str
    judged_at: datetime

    def of(self, version: int) -> Judged:
        """What was judged."""
        return version, self.basis, self.as_of, self.drop_id, self.label_drop_id


def may_judge(connection: sa.Connection) -> bool:
    """Whether this login may add verdicts."""
    return bool(connection.execute(sa.text(_SQL["may_judge"])).scalar_one())


def verdicts(connection: sa.Connection, model: str, version: int) -> list[Recorded]:
    """All verdicts on a version, oldest first."""
    rows = connection.execute(sa.text(_SQL["verdicts"]), {"model": model, "version": version})
    return [Recorded(**row._mapping) for row in rows]


def add(connection: sa.Connection, task: Task, basis: str, known_at: datetime, found: Judgement) -> None:
    """Add a verdict; nothing happens if it is there.

    Args:
        connection: Connection to write on.
        task: The month.
        basis: `estimated` or `realized`.
        known_at: Load time up to which rows were read.
        found: The verdict.
    """
    month, labels = task.scored, task.labels if basis == REALIZED else None
    values = {
        "model": task.released.contract.model,
        "version": month.version,
        "basis": basis,
        "as_of": month.as_of,
        "known_at": known_at,
        "drop_id": month.drop_id,
        "label_drop_id": labels.drop_id if labels else "",
        **asdict(found),
    }
    connection.execute(sa.text(_SQL["record"]), values)

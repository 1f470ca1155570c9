"""Records in PostgreSQL that runs of jobs begin, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.postgres import clock, locks, statements

_SQL = statements.load(Path(__file__).with_name("job_runs.sql"))


def running(connection: sa.Connection, jobs: Iterable[str]) -> tuple[str, ...]:
    """Return those of some jobs that run now, as their locks say; no lock is taken, not even for a moment."""
    keys = {locks.key(locks.of_job(job)): job for job in jobs}
    held = set(connection.execute(sa.text(_SQL["keys_held"]), {"keys": list(keys)}).scalars())
    return tuple(job for key, job in keys.items() if key in held)


@dataclass(frozen=True)
class Start:
    """The recorded start of a run.

    Attributes:
        start_id: Its number.
        started_at: When, by the database's clock.
    """

    start_id: int
    started_at: datetime


def record_start(connection: sa.Connection, job: str) -> Start:
    """Record that a run begins."""
    row = connection.execute(sa.text(_SQL["record_start"]), {"job": job}).one()
    return Start(row.start_id, row.started_at)


def open_start(connection: sa.Connection, start_id: int | None) -> Start | None:
    """Return a recorded start; None if it was not recorded or its run has ended."""
    row = connection.execute(sa.text(_SQL["open_start"]), {"start_id": start_id}).first()
    return Start(row.start_id, row.started_at) if row else None


@dataclass(frozen=True)
class Ended:
    """The outcome of a run.

    Attributes:
        outcome: `done`, `refused` or `failed`.
        message: Why it was refused or failed; empty if it is done.
        facts: The serialized result; empty unless the run is done.
    """

    outcome: str
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def record(connection: sa.Connection, job: str, ended: Ended, seconds: float, start: Start | None) -> None:
    """Record the outcome of a run that ends now.

    Args:
        connection: An open connection.
        job: Name of the job.
        ended: The outcome.
        seconds: Duration of the run.
        start: Its begin; None if that could not be recorded.
    """
    connection.execute(
        sa.text(_SQL["record_run"]),
        {
            "job": job,
            "seconds": seconds,
            "outcome": ended.outcome,
            "message": ended.message,
            "facts": json.dumps(ended.facts),
            "caller": clock.machine(),
            "start_id": start and start.start_id,
            "started_at": start and start.started_at,
        },
    )


def forget(connection: sa.Connection, job: str, days: int) -> None:
    """Remove a job's runs that are older than `days`; the metrics still count them."""
    connection.execute(sa.text(_SQL["forget_runs"]), {"job": job, "days": days})

"""Record and look up what is left of the training sets of runs after erasures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class LeftOfRun:
    """A run's stored training set after erasures.

    Attributes:
        rows: Number of rows that are gone.
        fingerprint: Fingerprint of the rows that are left.
        split_digest: Digest of the holdout that is left.
        between: Fingerprints after earlier erasures: those of files whose erasure is not complete.
    """

    rows: int
    fingerprint: str
    split_digest: str
    between: tuple[str, ...] = ()


def left_of(connection: sa.Connection, run_id: str) -> LeftOfRun | None:
    """What the newest erasure left of a run's training set; None if no row of it was erased."""
    row = connection.execute(sa.text(_SQL["erased_run"]), {"run_id": run_id}).one_or_none()
    if row is None:
        return None
    return LeftOfRun(row.rows, row.fingerprint, row.split_digest, tuple(row.between or ()))


def record(connection: sa.Connection, erasure_id: str, run_id: str, left: LeftOfRun, *, pinned: bool) -> None:
    """Record what an erasure leaves of a run's training set, before its files are replaced.

    Args:
        connection: A connection.
        erasure_id: Id of the erasure.
        run_id: MLflow's id of the run.
        left: What is left, with the number of rows that this erasure removes.
        pinned: Whether a file of the model that its digest pins has the values of a removed row.
    """
    connection.execute(
        sa.text(_SQL["run"]),
        {
            "erasure": erasure_id,
            "run_id": run_id,
            "rows": left.rows,
            "fingerprint": left.fingerprint,
            "split": left.split_digest,
            "pinned": pinned,
        },
    )

"""Results of the jobs `erase` and `retention`; see `job_results`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from streamflow.postgres.job_results import JobResult


@dataclass(frozen=True)
class EraseResult(JobResult):
    """Result of the job `erase`. It names nobody.

    Attributes:
        erasures: Ids of the erasures that are complete now.
        rows: Number of removed rows, by table.
        runs: Number of runs whose training set lost a row.
        pinned: Runs whose model has values of the person in its golden rows, which its digest pins.
    """

    JOB: ClassVar[str] = "erase"

    erasures: tuple[str, ...]
    rows: dict[str, int]
    runs: int
    pinned: tuple[str, ...]


@dataclass(frozen=True)
class RetentionResult(JobResult):
    """Result of the job `retention`.

    Attributes:
        before: Rows of an earlier as-of are gone.
        rows: Number of rows that this run removed, by table.
        runs: Number of runs whose stored training set lost its rows.
    """

    JOB: ClassVar[str] = "retention"

    before: datetime
    rows: dict[str, int]
    runs: int

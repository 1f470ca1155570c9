"""Results of the jobs `backup` and `restore`; see `job_results`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from streamflow.postgres.job_results import JobResult


@dataclass(frozen=True)
class BackupResult(JobResult):
    """Result of the job `backup`.

    Attributes:
        folder: Folder of the backup.
        files: Size in bytes of each file.
        rows: Number of rows in each database.
        versions: Model versions whose files the backup contains.
        elsewhere: Model versions whose files it lacks, because MLflow's artifact proxy does not serve them.
        removed: Names of older backups that were removed.
        deleted: Model versions that the audit trail knows and somebody deleted in MLflow.
        unchecked: Model versions whose files were not checked, because no training of StreamFlow pins them.
        url: URL of its copy in an object store; empty without one.
    """

    JOB: ClassVar[str] = "backup"

    folder: Path
    files: dict[str, int]
    rows: dict[str, int]
    versions: tuple[int, ...]
    elsewhere: tuple[int, ...]
    removed: tuple[str, ...]
    deleted: tuple[int, ...] = ()
    unchecked: tuple[int, ...] = ()
    url: str = ""


@dataclass(frozen=True)
class RestoreResult(JobResult):
    """Result of a restore.

    Attributes:
        folder: Folder of the backup.
        made_at: Time of the backup.
        rows: Number of rows in each database; each table matches the manifest.
        artifacts: Number of restored files of model versions.
        next: Remaining manual steps.
        row: Number of the row of the audit trail that says so; 0 if there is none.
        lost: How many rows of the former audit trail are not in the restored one.
    """

    JOB: ClassVar[str] = "restore"

    folder: Path
    made_at: str
    rows: dict[str, int]
    artifacts: int
    next: tuple[str, ...]
    row: int = 0
    lost: int = 0

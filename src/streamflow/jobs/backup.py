"""Recipe of the job `backup`: copy both databases and the artifacts."""

from __future__ import annotations

from streamflow.backup import backup as backups
from streamflow.postgres.job_results import BackupResult
from streamflow.settings import Settings


def backup(settings: Settings) -> BackupResult:
    """Write a backup, check it, and delete those that are too old; see `backup.backup`."""
    return backups.backup(settings)

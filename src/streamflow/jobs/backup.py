"""Recipe of the job `backup`: back up both databases and the files of the model versions."""

from __future__ import annotations

from streamflow.backup import backup as backups
from streamflow.postgres.job_results import BackupResult
from streamflow.settings import Settings


def backup(settings: Settings) -> BackupResult:
    """Write a backup and delete the oldest ones; see `backup.backup`."""
    return backups.backup(settings.database, settings.mlflow, settings.backup)

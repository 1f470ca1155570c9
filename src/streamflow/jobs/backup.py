"""Recipe of the job `backup`: back up both databases and the files of the model versions."""

from __future__ import annotations

from streamflow.backup import backup as backups
from streamflow.backup import object_store
from streamflow.postgres.backup_results import BackupResult
from streamflow.settings import Settings


def backup(settings: Settings) -> BackupResult:
    """Write a backup, copy it to the object store, and delete the oldest ones; see `backup.backup`."""
    done = backups.backup(settings.database, settings.mlflow, settings.backup)
    return object_store.uploaded(settings.backup, done)

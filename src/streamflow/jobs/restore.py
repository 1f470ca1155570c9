"""Recipe of the job `restore`: restore the newest backup."""

from __future__ import annotations

from streamflow.backup import object_store
from streamflow.backup import restore as restores
from streamflow.postgres.backup_results import RestoreResult
from streamflow.settings import Settings


def restore(settings: Settings) -> RestoreResult:
    """Restore the newest backup, unless a database contains data; see `backup.restore`."""
    newest = object_store.fetched(settings.backup, None)
    return restores.restore(
        settings.backends, settings.backup.folder, newest, by="job restore", erasure=settings.erasure
    )

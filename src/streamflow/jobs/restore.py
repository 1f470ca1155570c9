"""Recipe of the job `restore`: bring back the newest backup."""

from __future__ import annotations

from streamflow.backup import restore as restores
from streamflow.postgres.job_results import RestoreResult
from streamflow.settings import Settings


def restore(settings: Settings) -> RestoreResult:
    """Restore the newest backup, which the chart's switch has asked for; see `backup.restore`."""
    return restores.restore(settings)

"""What the job `score` has to score: the newest drop, unless the same version has scored the same data."""

from __future__ import annotations

from datetime import datetime

from streamflow.drops import ledger
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import ScoreSkipped
from streamflow.release import Release
from streamflow.scoring import run
from streamflow.scoring import score as scoring
from streamflow.settings import Settings
from streamflow.snapshots.as_of import newest_as_of


def due(settings: Settings, release: Release) -> tuple[datetime, datetime] | ScoreSkipped:
    """As-of of the newest drop and the present known-at, unless this version has already scored this data."""
    with transaction(settings.database) as connection:
        loaded = ledger.entries(connection, known := clock.known_now(connection))
        at = newest_as_of([drop.as_of for drop in loaded])
        newest = scoring.newest(connection, release.contract.model)
    if run.is_current(newest, release, at, max(drop.loaded_at for drop in loaded)):
        reason = "neither the version nor a drop is new since that scoring"
        return ScoreSkipped(newest.scoring_id, newest.version, at, reason)
    return at, known

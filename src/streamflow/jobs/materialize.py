"""Recipe of the job `materialize`: copy the newest snapshots into the online store."""

from __future__ import annotations

from datetime import date

from streamflow.drops import ledger
from streamflow.features.materialize import materialize as materialize_views
from streamflow.postgres import clock, locks
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import MaterializeResult
from streamflow.repo import definitions
from streamflow.settings import Settings
from streamflow.snapshots.as_of import newest_as_of


def materialize(settings: Settings, as_of: date | None = None) -> MaterializeResult:
    """Materialize the newest drop dated `as_of` or earlier (default: the newest drop) into the online store.

    Raises:
        NotFound: There is no such drop (`NotYet`: no drop has been ingested).
        Refused: Another materialization is running.
    """
    repo = definitions.load(settings.feast.repo)
    with locks.exclusive(settings.database, locks.MATERIALIZE):
        with transaction(settings.database) as connection:
            drops = ledger.entries(connection, clock.known_now(connection))
        newest = newest_as_of([drop.as_of for drop in drops], as_of)
        if settings.engine == "spark":
            from streamflow.spark import materialize as on_spark

            views = on_spark.materialize(settings.database, settings.lake, settings.spark, repo, newest)
        else:
            views = materialize_views(settings.database, repo, newest)
        return MaterializeResult(tuple(views))

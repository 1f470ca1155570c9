"""Recipe of the job `score`: score every entity from the snapshots with the version in production."""

from __future__ import annotations

import time
from datetime import date, datetime

from streamflow.drops import ledger
from streamflow.jobs.due import due
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import ScoreResult, ScoreSkipped
from streamflow.registry.served import served_release
from streamflow.release import Release
from streamflow.repo import definitions
from streamflow.scoring import run
from streamflow.settings import Settings
from streamflow.snapshots import views
from streamflow.snapshots.as_of import newest_as_of


def score(settings: Settings) -> ScoreResult | ScoreSkipped:
    """Score the newest drop, unless the same version has already scored the same data; see `score_as_of`."""
    began = time.monotonic()
    release = served_release(settings.database, settings.mlflow.registered_model)
    found = due(settings, release)
    return found if isinstance(found, ScoreSkipped) else _score(settings, release, *found, began)


def score_as_of(
    settings: Settings, as_of: date | None = None, known_at: datetime | None = None
) -> ScoreResult:
    """Score all entities as of a date (default: that of the newest drop), as known at a time (default: now).

    Raises:
        UsageError: `known_at` is in the future, so the scoring could not be repeated.
        NotFound: There is no drop of that date, or no version is in production (`NotYet`: none ever was).
        Refused: The version fails a check (`ReleaseRefused`), or needs features that no longer exist.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    began = time.monotonic()
    release = served_release(settings.database, settings.mlflow.registered_model)
    with transaction(settings.database) as connection:
        known = clock.known_until(connection, known_at)
        at = newest_as_of([drop.as_of for drop in ledger.entries(connection, known)], as_of)
    return _score(settings, release, at, known, began)


def _score(settings: Settings, release: Release, at: datetime, known: datetime, began: float) -> ScoreResult:
    repo, predict = definitions.load(settings.feast.repo), settings.predict
    limits = run.Limits(predict.require_newest_as_of, settings.training.threads, settings.scoring.keep)
    if settings.engine == "spark":
        from streamflow.spark import scoring as on_spark

        world = run.World(repo, "", at, known)
        return on_spark.score(settings.database, settings.lake, settings.spark, release, world, limits, began)
    with views.frozen(settings.database, repo, known) as schema:
        world = run.World(repo, schema, at, known)
        return run.score_every_entity(settings.database, release, world, limits, began)

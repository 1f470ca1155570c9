"""Run one shard of the job `score`; the shards of a scoring are one run of the job in `streamflow.job_runs`.

A shard ends without work if it is done already, or if the shard that opened the scoring found nothing to score.
"""

from __future__ import annotations

import time
from typing import Any

from streamflow import log
from streamflow.errors import NotYet, StreamFlowError
from streamflow.jobs.due import due
from streamflow.jobs.run import attempt, record, wait_for_others
from streamflow.postgres import job_runs, locks
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import Idle, JobResult, ScoreSkipped, to_facts
from streamflow.postgres.job_runs import Ended
from streamflow.registry.served import served_release, stored_release
from streamflow.release import Release
from streamflow.repo import definitions
from streamflow.scoring import run, shards
from streamflow.scoring import score as scoring
from streamflow.scoring.read import Shard
from streamflow.scoring.shards import Run
from streamflow.settings import Settings
from streamflow.snapshots import views

JOB = "score"


def run_shard(settings: Settings) -> int:
    """Score the shard that the settings name; the one that completes the scoring records the run of the job.

    All shards hold the job's lock together: other jobs see one that runs, and an erasure waits for all of them.

    Returns:
        The exit code: 0 if the shard is done, else that of the error (see errors.py).
    """
    ours = settings.scoring
    logger = log.get("streamflow.jobs").bind(job=JOB, scoring=ours.run, shard=ours.shard, shards=ours.shards)
    begin = time.monotonic()
    try:
        with locks.awaited(settings.database, locks.of_job(JOB), shared=True) as locked:
            ended, code = attempt(lambda: wait_for_others(settings, locked, logger), logger)
            if code == 0:
                logger.info("shard started")
                ended, code = attempt(lambda: score_shard(settings, logger), logger)
            reports = code != 0 or bool(ended.facts)
            if reports:
                _report(settings, ended, begin, logger)
    except StreamFlowError as error:
        logger.error("failed", error=str(error))
        return error.exit_code
    seconds = round(time.monotonic() - begin, 3)
    logger.info(
        "ended" if reports else "shard ended", outcome=ended.outcome, seconds=seconds, facts=ended.facts
    )
    return code


def _report(settings: Settings, ended: Ended, begin: float, logger: Any) -> None:
    """Record the outcome of the job's run, but a failure only once for all shards that fail."""
    with transaction(settings.database) as connection:
        opened = shards.find(connection, settings.scoring.run)
        start = job_runs.open_start(connection, opened.start_id) if opened else None
    if opened is None or start is not None or ended.outcome == "done":
        seconds = opened.seconds if opened else time.monotonic() - begin
        record(settings, JOB, ended, start, seconds, logger)


def score_shard(settings: Settings, logger: Any) -> JobResult | None:
    """Score a shard; return the result of the job if it is this shard's to report.

    Raises:
        NotFound: No version is in production any more.
        Refused: The version fails a check (`ReleaseRefused`), or needs features that no longer exist; or the scoring has
            another number of shards, or was abandoned.
        DependencyDown: PostgreSQL does not answer.
    """
    database, name = settings.database, settings.scoring.run
    shard = Shard(settings.scoring.shard, settings.scoring.shards)
    with locks.awaited(database, locks.of_shard(name, shard.index)):
        with transaction(database) as connection:
            opened = shards.find(connection, name)
        release = None
        if opened is None:
            planned, release, found = _plan(settings)
            opened, first = shards.open_run(database, name, shard.count, planned, JOB)
            if first:
                shards.abandon(database)
                if found is not None:
                    return found
        shards.check_shard(opened, shard)
        work = opened.work
        if work is None:
            return None
        opened = shards.restarted(database, opened, JOB)
        if shards.is_done(database, name, shard):
            return _unreported(settings, opened)
        if release is None or release.pointer != work.pointer:
            release = stored_release(database, work.pointer)
        return _scored(settings, release, opened, shard, logger)


def _plan(settings: Settings) -> tuple[dict[str, Any], Release | None, JobResult | None]:
    """What to score: the plan and the version, or a result of the job that says why there is nothing to score."""
    try:
        release = served_release(settings.database, settings.mlflow.registered_model)
        found = due(settings, release)
    except NotYet as error:
        return {"nothing": to_facts(idle := Idle(error.what))}, None, idle
    if isinstance(found, ScoreSkipped):
        return {"nothing": to_facts(found)}, None, found
    at, known = found
    repo = definitions.load(settings.feast.repo)
    with views.frozen(settings.database, repo, known) as schema:
        world = run.World(repo, schema, at, known)
        newest = run.newest(settings.database, release, world)
    require = settings.predict.require_newest_as_of
    return shards.plan(release, world, newest, require_newest=require), release, None


def _scored(settings: Settings, release: Release, opened: Run, shard: Shard, logger: Any) -> JobResult | None:
    database, repo, work = settings.database, definitions.load(settings.feast.repo), opened.work
    if work is None:
        return None
    with views.frozen(database, repo, work.known_at) as schema:
        world = run.World(repo, schema, work.as_of, work.known_at)
        scored, complete = shards.score_shard(
            database, release, world, opened, shard, settings.training.threads
        )
    logger.info("shard scored", scored=scored)
    if not complete:
        return None
    with transaction(database) as connection:
        scoring.forget(connection, release.contract.model, settings.scoring.keep)
    return _result(settings)


def _unreported(settings: Settings, opened: Run) -> JobResult | None:
    """The result of a complete scoring that no shard has recorded: its last one was killed; otherwise None."""
    with transaction(settings.database) as connection:
        start = job_runs.open_start(connection, opened.start_id)
    return _result(settings) if opened.complete and start is not None else None


def _result(settings: Settings) -> JobResult | None:
    with transaction(settings.database) as connection:
        complete = shards.find(connection, settings.scoring.run)
    return shards.result(settings.database, complete) if complete else None

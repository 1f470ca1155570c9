"""Run a job: hold its lock, wait for jobs before it, log start and end, record the outcome, and return an exit code."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import sqlalchemy as sa

from streamflow import disk_full, log
from streamflow.errors import NotYet, Refused, StreamFlowError
from streamflow.jobs.catalog import Recipe
from streamflow.postgres import job_results, job_runs, locks
from streamflow.postgres.engine import transaction, translated
from streamflow.postgres.job_results import Idle, JobResult
from streamflow.postgres.job_runs import Ended, Start
from streamflow.settings import Settings

_MESSAGE_LENGTH = 2000
_LOOK_SECONDS = 1.0


class TerminatedError(StreamFlowError):
    """The job received SIGTERM, for example because its deadline passed or its node is being drained."""

    exit_code = 143


def run(settings: Settings, name: str, recipe: Recipe) -> int:
    """Run a job's recipe and record its outcome in `streamflow.job_runs`, which the exporter reads.

    If the same job is already running, do nothing. Kubernetes does not prevent such runs: a Job created with
    `kubectl create job --from=cronjob/…` bypasses the CronJob's concurrencyPolicy.

    A run that waits for other jobs (`jobs.after`) already holds the lock of its own: a further run of the job then
    ends at once, and a job that comes after this one waits for it, too.

    Returns:
        The exit code: 0 if the job is done or already running, else that of the error (see errors.py).
    """
    logger = log.get("streamflow.jobs").bind(job=name)
    begin = time.monotonic()
    try:
        with locks.held_if_free(settings.database, locks.of_job(name)) as locked:
            if locked is None:
                logger.info("already running")
                return 0
            start = None
            ended, code = attempt(lambda: wait_for_others(settings, locked, logger), logger)
            if code == 0:
                begin = time.monotonic()
                start = _record_start(settings, name, logger)
                logger.info("started")
                ended, code = attempt(lambda: recipe(settings), logger)
            record(settings, name, ended, start, time.monotonic() - begin, logger)
    except StreamFlowError as error:
        logger.error("failed", error=str(error))
        return error.exit_code
    logger.info("ended", outcome=ended.outcome, seconds=round(time.monotonic() - begin, 3), facts=ended.facts)
    return code


def wait_for_others(settings: Settings, locked: sa.Connection, logger: Any) -> None:
    """Wait while a job in `jobs.after` runs. It looks over the connection that holds this job's own lock.

    Raises:
        DependencyDown: The connection is lost, and so is the lock.
        TerminatedError: SIGTERM came first; the message names the jobs.
    """
    if not settings.jobs.after:
        return
    begin = time.monotonic()
    awaited: tuple[str, ...] = ()
    try:
        with translated(settings.database):
            while running := job_runs.running(locked, settings.jobs.after):
                begun, awaited = bool(awaited), running
                if not begun:
                    logger.info("waiting for other jobs", after=running)
                time.sleep(_LOOK_SECONDS)
    except TerminatedError as error:
        if not awaited:
            raise
        raise TerminatedError(
            f"The job was stopped by SIGTERM while it waited for the job {' and the job '.join(awaited)}.",
            hint=error.hint,
        ) from error
    if awaited:
        logger.info("waited for other jobs", seconds=round(time.monotonic() - begin, 3))


def attempt(work: Callable[[], JobResult | None], logger: Any) -> tuple[Ended, int]:
    """Do a part of a run; return its outcome and exit code. What fails is logged."""
    try:
        with _terminated():
            result = work()
            return Ended("done", facts=job_results.to_facts(result) if result else {}), 0
    except NotYet as error:
        # Before its first drop, a fresh installation has nothing to do; that is not a failure.
        logger.info("nothing to do yet", why=str(error))
        return Ended("done", facts=job_results.to_facts(Idle(error.what))), 0
    except Refused as error:
        logger.error("refused", error=str(error))
        return Ended("refused", str(error)[:_MESSAGE_LENGTH]), error.exit_code
    except StreamFlowError as error:
        logger.error("failed", error=str(error))
        return Ended("failed", str(error)[:_MESSAGE_LENGTH]), error.exit_code
    except Exception as error:
        if (full := disk_full.behind(error)) is not None:
            logger.error("failed", error=str(full))
            return Ended("failed", str(full)), full.exit_code
        # A bug: log where it happened, and record a single line.
        logger.exception("failed")
        return Ended("failed", log.place(error)), 1


def _record_start(settings: Settings, name: str, logger: Any) -> Start | None:
    """Record that the job begins, so that a run that is killed is seen: it will not record that it ended."""
    try:
        with transaction(settings.database) as connection:
            return job_runs.record_start(connection, name)
    except (StreamFlowError, sa.exc.DBAPIError) as error:
        # What keeps the row from being written may not keep the job from its work.
        logger.error("start not recorded", **log.describe(error))
        return None


def record(
    settings: Settings, name: str, ended: Ended, start: Start | None, seconds: float, logger: Any
) -> None:
    """Record the outcome of a run, and remove old ones; a failure to do so is logged.

    Args:
        settings: The settings.
        name: Name of the job.
        ended: The outcome.
        start: The recorded start of the run; None if it was not recorded.
        seconds: Its duration.
        logger: Where a failure is logged.
    """
    try:
        with transaction(settings.database) as connection:
            job_runs.record(connection, name, ended, seconds, start)
        # A separate transaction: the outcome is recorded even if old outcomes cannot be removed.
        with transaction(settings.database) as connection:
            job_runs.forget(connection, name, settings.jobs.history_days)
    except (StreamFlowError, sa.exc.DBAPIError) as error:
        # The job has done its work, so do not fail it. The alert JobNotRun reports the missing record.
        logger.error("outcome not recorded, or old outcomes not removed", **log.describe(error))


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """Raise TerminatedError on SIGTERM, so that a stopped job still records its outcome."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TerminatedError(
            "The job was stopped by SIGTERM.", hint="Look at its Job: was the deadline too short?"
        )

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:
        # Not the main thread, which alone may set signal handlers.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

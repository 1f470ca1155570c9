"""Share a scoring among processes: the first one opens it, each scores its shard, and with the last one it is complete.

What is scored is decided once, when the scoring is opened: the version, the as-of, the known-at, the newest as-of of
each view, and the number of the scoring. So the shards together write what one process would have written. Scores become
visible with the row in `streamflow.scorings`, which is written together with the scores of the last shard.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.errors import Refused
from streamflow.postgres import job_runs, statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import ScoreResult
from streamflow.release import Release, VersionPointer
from streamflow.scoring import read, run
from streamflow.scoring import score as scoring
from streamflow.scoring.read import Shard
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Work:
    """What all shards of a scoring score.

    Attributes:
        scoring_id: Id of the scoring.
        pointer: Model version that scores.
        fingerprint: Fingerprint of its training set.
        as_of: As-of date that is scored.
        known_at: Newest load time that is visible.
        require_newest: Whether to refuse values older than the newest as-of of their view.
        newest: Newest as-of of each view of the version, in seconds since 1970; NaN for an empty one.
    """

    scoring_id: int
    pointer: VersionPointer
    fingerprint: str
    as_of: datetime
    known_at: datetime
    require_newest: bool
    newest: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """A scoring that shards share.

    Attributes:
        name: Its name.
        shards: Number of shards.
        work: What they score; None if there was nothing to score.
        nothing: Result of the job if there was nothing to score, as facts.
        start_id: Start of the job's run that it belongs to; None if that was not recorded.
        complete: Whether no shard is left.
        abandoned: Whether it did not end for so long that its scores were removed.
        seconds: Seconds since it was opened.
    """

    name: str
    shards: int
    work: Work | None
    nothing: Mapping[str, Any] | None
    start_id: int | None
    complete: bool
    abandoned: bool
    seconds: float


def find(connection: sa.Connection, name: str) -> Run | None:
    """The scoring of a name; None if no shard has opened it yet."""
    row = connection.execute(sa.text(_SQL["find_run"]), {"run": name}).first()
    if row is None:
        return None
    work = None
    if row.scoring_id is not None:
        pointer = VersionPointer(row.model, row.version, row.manifest_sha256)
        newest = tuple(math.nan if stamp is None else stamp for stamp in row.newest)
        work = Work(
            row.scoring_id, pointer, row.fingerprint, row.as_of, row.known_at, row.require_newest, newest
        )
    return Run(row.run, row.shards, work, row.nothing, row.start_id, row.complete, row.abandoned, row.seconds)


def plan(
    release: Release, world: run.World, newest: tuple[float, ...], *, require_newest: bool
) -> dict[str, Any]:
    """What `open_run` fixes for all shards. Pure.

    Args:
        release: Model version that scores.
        world: Snapshots to score.
        newest: Newest as-of of each view of the version.
        require_newest: Whether to refuse values older than that.
    """
    return {
        "model": release.contract.model,
        "version": release.pointer.version,
        "manifest_sha256": release.pointer.manifest_sha256,
        "fingerprint": release.contract.fingerprint,
        "as_of": world.as_of.isoformat(),
        "known_at": world.known_at.isoformat(),
        "require_newest": require_newest,
        "newest": [None if math.isnan(stamp) else stamp for stamp in newest],
    }


def open_run(
    database: DatabaseSettings, name: str, count: int, planned: Mapping[str, Any], job: str
) -> tuple[Run, bool]:
    """Open a scoring and record that a run of the job begins, unless another shard has opened it.

    Args:
        database: Connection settings.
        name: Name of the scoring.
        count: Number of shards.
        planned: What `plan` returned, or `{"nothing": FACTS}` if there is nothing to score.
        job: Name of the job.

    Returns:
        The scoring, and whether it was opened here.
    """
    with transaction(database) as connection:
        with connection.begin_nested() as attempt:
            start = job_runs.record_start(connection, job)
            parameters = {
                "run": name,
                "shards": count,
                "plan": json.dumps(planned),
                "start_id": start.start_id,
            }
            first = bool(connection.execute(sa.text(_SQL["open_run"]), parameters).scalar_one())
            if not first:
                attempt.rollback()
        opened = find(connection, name)
    if opened is None:
        raise AssertionError(f"scoring {name} is neither there nor could it be opened")
    return opened, first


def restarted(database: DatabaseSettings, opened: Run, job: str) -> Run:
    """Record that a run of the job begins if a shard has ended the one before by a failure; return the scoring."""
    with transaction(database) as connection:
        if opened.complete or job_runs.open_start(connection, opened.start_id):
            return opened
        start = job_runs.record_start(connection, job)
        connection.execute(sa.text(_SQL["restart_run"]), {"run": opened.name, "start_id": start.start_id})
        return find(connection, opened.name) or opened


def check_shard(opened: Run, shard: Shard) -> None:
    """Check that a shard belongs to a scoring.

    Raises:
        Refused: The scoring has another number of shards, or was abandoned.
    """
    if opened.shards != shard.count:
        raise Refused(
            f"The scoring '{opened.name}' has {opened.shards} shards, and this process scores one of {shard.count}.",
            hint=f"Set STREAMFLOW_SCORING__SHARDS={opened.shards}, or start a scoring of another name.",
        )
    if opened.abandoned:
        raise Refused(
            f"The scoring '{opened.name}' did not end within 12 hours, so its scores were removed.",
            hint="Start the job again: that is a scoring of another name.",
        )


def is_done(database: DatabaseSettings, name: str, shard: Shard) -> bool:
    """Whether a shard of a scoring is done."""
    with transaction(database) as connection:
        parameters = {"run": name, "shard": shard.index}
        return bool(connection.execute(sa.text(_SQL["shard_done"]), parameters).scalar_one())


def score_shard(
    database: DatabaseSettings, release: Release, world: run.World, opened: Run, shard: Shard, threads: int
) -> tuple[int, bool]:
    """Store a probability for every entity of a shard that predict would answer, and count the others by reason.

    Args:
        database: Connection settings.
        release: Model version of the scoring.
        world: Snapshots of the scoring.
        opened: The scoring; it has work.
        shard: The shard.
        threads: Number of chunks to infer concurrently.

    Returns:
        How many entities have a score, and whether the scoring is complete with this shard.

    Raises:
        Refused: The version needs features that the feature repo no longer has.
    """
    if opened.work is None:
        raise AssertionError(f"scoring {opened.name} has no work")
    contract, work = release.contract, opened.work
    read.check_fits(world.repo, contract)
    rules = scoring.Rules(work.newest, work.require_newest, threads)
    select = read.statement(world.repo, contract, world.schema, world.as_of, work.newest, shard)
    with transaction(database) as source:
        chunks = read.chunks(source, contract, select, run.CHUNK_ROWS)
        with closing(chunks), transaction(database) as target:
            results = scoring.score_all(run.model_of(release), rules, chunks)
            tally = scoring.write(target, work.scoring_id, results)
            parameters = {
                "run": opened.name,
                "shard": shard.index,
                "scored": tally.scored,
                "positive": tally.positive,
                "refused": json.dumps(tally.refused),
                "features": json.dumps(tally.features),
            }
            complete = target.execute(sa.text(_SQL["finish_shard"]), parameters).scalar_one()
    return tally.scored, bool(complete)


def result(database: DatabaseSettings, opened: Run) -> ScoreResult:
    """The result of a complete scoring: the sums of what its shards counted."""
    if opened.work is None:
        raise AssertionError(f"scoring {opened.name} has no work")
    tally = scoring.Tally()
    with transaction(database) as connection:
        for row in connection.execute(sa.text(_SQL["tallies"]), {"run": opened.name}):
            tally.add(row.scored, row.positive, row.refused, row.features)
    work = opened.work
    return run.result(
        tally, work.scoring_id, work.pointer, work.fingerprint, work.as_of, work.known_at, opened.seconds
    )


def abandon(database: DatabaseSettings) -> None:
    """Remove the scores of scorings that were opened twelve hours ago and have not ended."""
    with transaction(database) as connection:
        connection.execute(sa.text(_SQL["abandon"]))

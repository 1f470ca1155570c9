"""Score every entity of frozen snapshots with one release, or compute some scores without storing them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

import sqlalchemy as sa

from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import ScoreResult
from streamflow.release import Release, VersionPointer
from streamflow.repo.definitions import FeatureRepo
from streamflow.scoring import read
from streamflow.scoring import score as scoring
from streamflow.settings import DatabaseSettings

CHUNK_ROWS = 16_384
"""Entities that are read and scored together."""


@dataclass(frozen=True)
class World:
    """The snapshots to score.

    Attributes:
        repo: Definitions of the features.
        schema: Schema of the snapshots, frozen at `known_at`; "" with Spark, whose session has them.
        as_of: Newest as-of date of a value that is used.
        known_at: Newest load time of a value that is used.
    """

    repo: FeatureRepo
    schema: str
    as_of: datetime
    known_at: datetime


@dataclass(frozen=True)
class Limits:
    """Settings of a scoring.

    Attributes:
        require_newest: Whether to refuse values older than the newest as-of of their view.
        threads: Number of chunks to infer concurrently.
        keep: Number of the model's newest scorings whose scores are kept.
    """

    require_newest: bool
    threads: int
    keep: int


def score_every_entity(
    database: DatabaseSettings,
    release: Release,
    world: World,
    limits: Limits,
    began: float,
) -> ScoreResult:
    """Store a probability for every entity that predict would answer, and count the others by reason.

    Each probability has the same bits as predict's. Scores become visible in `streamflow.scores` all at once.

    Args:
        database: Connection settings.
        release: Model version that scores.
        world: Snapshots to score.
        limits: Settings of the scoring.
        began: Start of the job by `time.monotonic`; the result reports the seconds since then.

    Raises:
        Refused: The version needs features that the feature repo no longer has.
    """
    contract, model = release.contract, model_of(release)
    read.check_fits(world.repo, contract)
    # Two connections, because one that copies rows out cannot copy others in at the same time.
    with transaction(database) as source:
        latest = _newest(source, release, world)
        rules = scoring.Rules(latest, limits.require_newest, limits.threads)
        select = _statement(release, world, latest)
        with (
            closing(read.chunks(source, contract, select, CHUNK_ROWS)) as chunks,
            transaction(database) as target,
        ):
            number = scoring.begin(target, model, world.as_of, world.known_at)
            tally = scoring.write(target, number, scoring.score_all(model, rules, chunks))
            scoring.record_refusals(target, number, tally)
    with transaction(database) as connection:
        scoring.forget(connection, contract.model, limits.keep)
    return finished(tally, number, release, world, began)


def finished(tally: scoring.Tally, number: int, release: Release, world: World, began: float) -> ScoreResult:
    """The result of a scoring that one process stored; it ends now.

    Args:
        tally: What was counted.
        number: Id of the scoring.
        release: Version that scored.
        world: What it scored.
        began: Start of the job by `time.monotonic`.
    """
    seconds = time.monotonic() - began
    fingerprint = release.contract.fingerprint
    return result(tally, number, release.pointer, fingerprint, world.as_of, world.known_at, seconds)


def result(
    tally: scoring.Tally,
    number: int,
    pointer: VersionPointer,
    fingerprint: str,
    as_of: datetime,
    known_at: datetime,
    seconds: float,
) -> ScoreResult:
    """The result of a scoring that is stored. Pure.

    Args:
        tally: What was counted.
        number: Id of the scoring.
        pointer: Version that scored.
        fingerprint: Fingerprint of its training set.
        as_of: As-of date that was scored.
        known_at: Newest load time that was visible.
        seconds: Duration.
    """
    return ScoreResult(
        scoring_id=number,
        model=pointer.name,
        version=pointer.version,
        fingerprint=fingerprint,
        as_of=as_of,
        known_at=known_at,
        scored=tally.scored,
        positive=tally.positive,
        refused=dict(tally.refused.most_common()),
        features=dict(tally.features.most_common()),
        seconds=round(seconds, 3),
    )


def newest(database: DatabaseSettings, release: Release, world: World) -> tuple[float, ...]:
    """Newest as-of of each view that the version reads, in seconds since 1970; NaN for an empty one."""
    with transaction(database) as connection:
        return _newest(connection, release, world)


def probabilities(
    database: DatabaseSettings,
    release: Release,
    world: World,
    entities: Sequence[str],
    *,
    require_newest: bool,
) -> dict[str, float]:
    """Probabilities that `score_every_entity` would store for the given entities, by key.

    Args:
        database: Connection settings.
        release: Model version that scores.
        world: Snapshots to score.
        entities: Keys of the entities; refused and unknown ones are missing from the result.
        require_newest: Whether to refuse values older than the newest as-of of their view.

    Raises:
        Refused: The version needs features that the feature repo no longer has.
    """
    contract = release.contract
    read.check_fits(world.repo, contract)
    with transaction(database) as source:
        latest = _newest(source, release, world)
        rules = scoring.Rules(latest, require_newest, threads=1)
        listed = ", ".join(_literal(entity) for entity in entities)
        chosen = f"SELECT * FROM ({_statement(release, world, latest)}) AS every WHERE key IN ({listed})"
        with closing(read.chunks(source, contract, chosen, max(len(entities), 1))) as chunks:
            return {
                str(key): float(probability)
                for scores in scoring.score_all(model_of(release), rules, chunks)
                for key, probability in zip(scores.keys.to_pylist(), scores.probabilities, strict=True)
            }


def is_current(
    newest: scoring.Scoring | None, release: Release, as_of: datetime, loaded_at: datetime
) -> TypeGuard[scoring.Scoring]:
    """Whether another scoring would repeat the newest one: the same version on the same data.

    Args:
        newest: Newest scoring of the model; None if it was never scored.
        release: Version that would score.
        as_of: As-of date that would be scored.
        loaded_at: Load time of the drop that was loaded last.
    """
    return scoring.is_current(newest, model_of(release), as_of, loaded_at)


def model_of(release: Release) -> scoring.Model:
    """The parts of a release that scoring needs."""
    return scoring.Model(release.pointer.version, release.contract, release.encoder, release.infer)


def _newest(source: sa.Connection, release: Release, world: World) -> tuple[float, ...]:
    return read.newest_as_of(source, world.repo, release.contract, world.schema, world.as_of)


def _statement(release: Release, world: World, latest: tuple[float, ...]) -> str:
    return read.statement(world.repo, release.contract, world.schema, world.as_of, latest)


def _literal(text: str) -> str:
    # COPY takes no parameters, so the text is quoted here: only quotes need doubling in a standard string.
    return "'" + text.replace("'", "''") + "'"

"""Recipe: snapshots -> production model -> scores of every entity."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from streamflow import release as releases
from streamflow.errors import NotFound, NotYet
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.scoring import read
from streamflow.scoring import score as scoring
from streamflow.settings import Settings
from streamflow.snapshots import ledger, views

CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Scored:
    """What a scoring did.

    Attributes:
        scoring_id: Its number in `streamflow.scorings`; its scores are in `streamflow.scores`.
        model: Registered model; version: the version that scored.
        fingerprint: Fingerprint of the training set of that version.
        as_of: When the world was looked at; known_at: newest load time that was visible.
        scored: Entities with a probability.
        positive: Those that reach the threshold.
        refused: Entities without one, by reason: no_row, null_values, stale, unknown_category, not_finite.
        features: Refused entities by the feature that they lack.
        seconds: How long it took.
    """

    scoring_id: int
    model: str
    version: int
    fingerprint: str
    as_of: datetime
    known_at: datetime
    scored: int
    positive: int
    refused: dict[str, int]
    features: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class Unchanged:
    """A scheduled scoring that had nothing to do.

    Attributes:
        scoring_id: The newest scoring, which another one would equal; version: the version that made it.
        as_of: When the world was looked at.
        why: The reason.
    """

    scoring_id: int
    version: int
    as_of: datetime
    why: str


def score(settings: Settings, as_of: date | None = None, known_at: datetime | None = None) -> Scored:
    """Score all entities as of a date, with the features that a training as of that date would join.

    Refused are the entities that predict would refuse, and probabilities are the same to the last bit. Nothing is
    visible in `streamflow.scores` before all of it is.

    Args:
        as_of: When the world is looked at: the newest drop up to it; default: the newest drop of all.
        known_at: Newest load time that may be seen; default: now.

    Raises:
        NotFound: no drop of that date, or no version is in production (`NotYet`: none ever was).
        Refused: the version fails a check (`ReleaseRefused`), or needs features that are gone.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    began = time.monotonic()
    release = asyncio.run(served_release(settings))
    with transaction(settings) as connection:
        known = known_at or ledger.known_now(connection)
        at = ledger.newest_as_of(ledger.drops(connection, known), as_of)
    return _score(settings, release, at, known, began)


def score_what_is_new(settings: Settings) -> Scored | Unchanged:
    """Recipe of the scheduled scoring: `score`, unless the newest scoring is the same version's on the same data.

    Raises:
        As `score`.
    """
    began = time.monotonic()
    release = asyncio.run(served_release(settings))
    with transaction(settings) as connection:
        known = ledger.known_now(connection)
        loaded = ledger.drops(connection, known)
        at = ledger.newest_as_of(loaded)
        held = scoring.newest(connection, release.contract.model)
    loaded_at = max(drop.loaded_at for drop in loaded)
    if held is not None and scoring.is_current(held, _model(release), at, loaded_at):
        return Unchanged(
            held.scoring_id,
            held.version,
            at,
            "neither the version nor a drop is new since that scoring",
        )
    return _score(settings, release, at, known, began)


def _model(release: releases.Release) -> scoring.Model:
    return scoring.Model(release.pointer.version, release.contract, release.encoder, release.infer)


def _score(
    settings: Settings, release: releases.Release, at: datetime, known: datetime, began: float
) -> Scored:
    repo = definitions.load(settings.feast.repo)
    contract, model = release.contract, _model(release)
    read.check_fits(repo, contract)
    with views.frozen(settings, repo, known) as schema, transaction(settings) as source:
        rules = scoring.Rules(
            newest=read.newest_as_of(source, repo, contract, schema, at),
            require_newest=settings.predict.require_newest_as_of,
            threads=settings.training.threads,
        )
        chunks = read.chunks(source, contract, read.statement(repo, contract, schema, at), CHUNK_ROWS)
        with transaction(settings) as target:
            number = scoring.begin(target, model, at, known)
            tally = scoring.write(target, number, scoring.score_all(model, rules, chunks))
    with transaction(settings) as connection:
        scoring.forget(connection, contract.model, settings.scoring.keep)
    return Scored(
        scoring_id=number,
        model=contract.model,
        version=model.version,
        fingerprint=contract.fingerprint,
        as_of=at,
        known_at=known,
        scored=tally.scored,
        positive=tally.positive,
        refused=dict(tally.refused.most_common()),
        features=dict(tally.features.most_common()),
        seconds=round(time.monotonic() - began, 3),
    )


async def served_release(settings: Settings) -> releases.Release:
    """The release behind the alias that predict serves, checked as predict checks it.

    Raises:
        NotFound: nothing is promoted (`NotYet`: nothing ever was).
        ReleaseRefused: it fails a check.
        DependencyDown: MLflow does not answer.
    """
    name, alias = settings.mlflow.registered_model, PRODUCTION
    registry = releases.Registry(settings.mlflow.tracking_uri, settings.mlflow.timeout_seconds)
    try:
        pointer = await registry.resolve(name, alias)
        if pointer is None:
            # One that is no more is missed; before the first there is nothing to be done.
            kind = NotFound if _ever_promoted(settings, name, alias) else NotYet
            raise kind(
                f"No version of {name} is promoted to '{alias}'.",
                hint=f'Promote one: streamflow models promote VERSION --to {alias} --why "…".',
            )
        return releases.check(pointer, await registry.fetch(pointer))
    finally:
        await registry.close()


def _ever_promoted(settings: Settings, model: str, alias: str) -> bool:
    with transaction(settings) as connection:
        return bool(
            connection.execute(
                sa.text(
                    "SELECT EXISTS (SELECT FROM streamflow.promotions WHERE model = :model AND alias = :alias)"
                ),
                {"model": model, "alias": alias},
            ).scalar_one()
        )

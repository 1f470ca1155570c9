"""Recipe: who answered for an entity at a past moment, from which values, and the same answer computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from streamflow.audit.as_served import ServedView, as_served, refusal
from streamflow.canary import in_canary
from streamflow.encoding import UnknownCategoryError
from streamflow.errors import NotFound, ReleaseRefused, StreamFlowError
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import CANARY
from streamflow.postgres.engine import transaction
from streamflow.registry import artifacts, trail, versions
from streamflow.registry.trail import Move
from streamflow.release import Release
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings


@dataclass(frozen=True)
class Answer:
    """An answer computed again.

    Attributes:
        version: The version that answers.
        probability: What it says; None when it would have refused.
        prediction: Whether that is at least the threshold.
        refused: Why there is no answer; "" when there is one.
        views: The rows that it is computed from.
    """

    version: int
    probability: float | None
    prediction: bool | None
    refused: str
    views: tuple[ServedView, ...]


@dataclass(frozen=True)
class Logged:
    """The newest answer in the log of predictions up to the moment.

    Attributes:
        answered_at: When it was given; request_id: to whom.
        version: By which version; alias: as production or as canary.
        probability: What it said.
        recomputed: The same answer computed again, from the values of its own moment.
        equal: Whether both are the same to the last digit.
    """

    answered_at: datetime
    request_id: str
    version: int
    alias: str
    probability: float
    recomputed: float | None
    equal: bool


@dataclass(frozen=True)
class Canary:
    """The version that was on trial as canary at a moment, and so may have answered instead of production.

    Attributes:
        version: The version; started_at: since when.
        share: The canary's share as it is set now; that of then is on no record.
        in_share: Whether the entity belongs to it.
        answer: What it answers, computed again.
    """

    version: int
    started_at: datetime
    share: float
    in_share: bool
    answer: Answer


@dataclass(frozen=True)
class Explained:
    """What is known about an entity's answer at a moment.

    Attributes:
        entity: The entity; at: the moment.
        release: The release that was in production, by the audit trail; empty when nothing was.
        promoted_at: Since when; promoted_by: by whom; why: for which reason.
        answer: The answer of production, computed again; None when nothing was in production.
        canary: The version on trial beside it; None when there was none.
        logged: The newest answer given up to then; None when none was logged.
    """

    entity: str
    at: datetime
    release: dict[str, Any]
    promoted_at: datetime | None
    promoted_by: str
    why: str
    answer: Answer | None
    canary: Canary | None
    logged: Logged | None


def explain(settings: Settings, entity: str, moment: datetime) -> Explained:
    """Look up what was in production and in the online store at a moment, and answer again.

    Raises:
        NotFound: nothing was in production, and no answer was logged.
        ReleaseRefused: the version's files fail their digests.
        Refused: the feature repo no longer has the features.
    """
    repo = definitions.load(settings.feast.repo)
    moves = trail.history(settings)
    move = trail.in_production(moves, moment)
    if move is None:
        logged = _logged(settings, repo, entity, moment, None)
        if logged is None:
            # Says so.
            move = trail.at(settings, moment)
        else:
            return Explained(entity, moment, {}, None, "", "", None, None, logged)
    release = _promoted(settings, move)
    return Explained(
        entity=entity,
        at=moment,
        release=move.release,
        promoted_at=move.moved_at.astimezone(UTC),
        promoted_by=move.moved_by,
        why=move.why,
        answer=answer(settings, repo, release, entity, moment),
        canary=_canary(settings, repo, moves, entity, moment, release),
        logged=_logged(settings, repo, entity, moment, release),
    )


def _promoted(settings: Settings, move: Move) -> Release:
    release = _release(settings, int(move.to_version or 0))
    pinned = move.release.get("manifest_sha256")
    if pinned and release.pointer.manifest_sha256 != pinned:
        raise StreamFlowError(
            f"Version {move.to_version} is not what was promoted then: its manifest is another one.",
            hint="Look at 'streamflow models history', and restore MLflow from a backup of that time.",
        )
    return release


def on_trial(moves: Sequence[Move], moment: datetime) -> Move | None:
    """The row that put the canary of a moment on trial; None when there was none. Pure."""
    found = None
    for move in moves:
        if move.alias == CANARY and move.action != "abandon" and move.moved_at <= moment:
            found = move
    return found if found is not None and found.to_version is not None else None


def _canary(
    settings: Settings,
    repo: FeatureRepo,
    moves: Sequence[Move],
    entity: str,
    moment: datetime,
    production: Release,
) -> Canary | None:
    move = on_trial(moves, moment)
    if move is None or move.to_version is None or move.to_version == production.pointer.version:
        return None
    try:
        found = answer(settings, repo, _release(settings, move.to_version), entity, moment)
    except (NotFound, ReleaseRefused) as error:
        # It was beside production only, whose answer can still be told.
        found = Answer(move.to_version, None, None, error.what, ())
    share = settings.predict.canary_share
    return Canary(move.to_version, move.moved_at.astimezone(UTC), share, in_canary(entity, share), found)


def answer(settings: Settings, repo: FeatureRepo, release: Release, entity: str, moment: datetime) -> Answer:
    """What a release answers from the values that were served at a moment."""
    with transaction(settings) as connection:
        views = as_served(connection, repo, release.contract, entity, moment)
    refused = refusal(release.contract, views, require_newest=settings.predict.require_newest_as_of)
    if refused:
        return Answer(release.pointer.version, None, None, refused, views)
    return _computed(release, views)


def _computed(release: Release, views: tuple[ServedView, ...]) -> Answer:
    contract, version = release.contract, release.pointer.version
    values = {item.view: item.values for item in views}
    row = [values[feature.view][feature.name] for feature in contract.features]
    try:
        probability = float(release.probabilities([row])[0])
    except UnknownCategoryError as error:
        return Answer(version, None, None, f"schema_mismatch: {error}", views)
    return Answer(version, probability, probability >= contract.threshold, "", views)


def _logged(
    settings: Settings, repo: FeatureRepo, entity: str, moment: datetime, release: Release | None
) -> Logged | None:
    with transaction(settings) as connection:
        row = connection.execute(
            sa.text(
                "SELECT answered_at, request_id, version, alias, probability FROM streamflow.predictions"
                " WHERE entity = :entity AND model = :model AND answered_at <= :moment"
                " ORDER BY answered_at DESC LIMIT 1"
            ),
            {"entity": entity, "model": settings.mlflow.registered_model, "moment": moment},
        ).first()
    if row is None:
        return None
    same = release is not None and row.version == release.pointer.version
    used = release if release is not None and same else _release(settings, row.version)
    with transaction(settings) as connection:
        views = as_served(connection, repo, used.contract, entity, row.answered_at)
    # It was not refused: predict learns of a newer as-of a moment after its values are there.
    absent = any(item.as_of is None for item in views)
    again = None if absent else _computed(used, views).probability
    return Logged(
        answered_at=row.answered_at.astimezone(UTC),
        request_id=row.request_id,
        version=row.version,
        alias=row.alias,
        probability=row.probability,
        recomputed=again,
        equal=again == row.probability,
    )


def _release(settings: Settings, version: int) -> Release:
    with registry(settings) as client:
        return artifacts.verified_release(client, settings, versions.get(settings, version))

"""Recipe: replay the answer of a past moment: who answered for an entity, from which values, computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.audit.as_served import ServedView, as_served, refusal
from streamflow.canary import in_canary
from streamflow.eligibility import Policy
from streamflow.encoding import UnknownCategoryError
from streamflow.erasure import listed, months
from streamflow.erasure.key import Key
from streamflow.errors import NotFound, ReleaseRefused, StreamFlowError
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import CANARY
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.registry import actions, artifacts, trail, versions
from streamflow.registry.trail import Move
from streamflow.release import Release
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Backends, MlflowSettings, PredictSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Answer:
    """An answer computed again.

    Attributes:
        version: The version that answers.
        probability: Its answer; None when it would have refused.
        prediction: Whether the probability reaches the threshold; None when it would have refused.
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
    """The newest answer in the prediction log up to the moment.

    Attributes:
        answered_at: When it was given.
        request_id: The request that it was given to.
        version: The version that gave it.
        alias: The version's alias then: production or canary.
        probability: The probability that was answered.
        recomputed: The same answer computed again, from the values of its own moment; None when they are missing.
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
    """The version that was on trial as canary at the moment, and so may have answered instead of production.

    Attributes:
        version: The version.
        started_at: When its trial began.
        share: The canary's share as it is set now; what it was then is not recorded.
        in_share: Whether the entity belongs to that share.
        answer: Its answer, computed again.
    """

    version: int
    started_at: datetime
    share: float
    in_share: bool
    answer: Answer


@dataclass(frozen=True)
class Replay:
    """What is known about an entity's answer at a moment.

    Attributes:
        entity: The entity.
        at: The moment.
        release: The release that was in production according to the audit trail; empty when nothing was.
        promoted_at: When it was promoted; None when nothing was in production.
        promoted_by: Who promoted it.
        why: The reason given for the promotion.
        answer: Production's answer, computed again; None when nothing was in production.
        canary: The version on trial beside it; None if no version was on trial.
        logged: The newest answer given up to then; None when none was logged.
        erased_at: When the entity was erased; None if it was not, or if the key of the list of erasures is not set.
        dropped: Which months were dropped since, if the entity's values of the moment may have been among them; else "".
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
    erased_at: datetime | None = None
    dropped: str = ""


@dataclass(frozen=True)
class Question:
    """Whose answer is asked for, at which moment, and where to look it up.

    Attributes:
        backends: Where PostgreSQL and MLflow are.
        predict: How predict answers.
        repo: The feature repo.
        entity: Key of the entity.
        moment: The moment to look at.
    """

    backends: Backends
    predict: PredictSettings
    repo: FeatureRepo
    entity: str
    moment: datetime


def replay(
    backends: Backends, predict: PredictSettings, entity: str, moment: datetime, key: Key | None = None
) -> Replay:
    """Look up what was in production and in the online store at a moment, and answer again.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        predict: How predict answers.
        entity: Key of the entity.
        moment: The moment to look at.
        key: Key of the list of erasures, to say whether the entity was erased.

    Raises:
        NotFound: Nothing was in production, and no answer was logged.
        ReleaseRefused: The version's files fail their digests.
        Refused: The feature repo no longer has the features.
    """
    asked = Question(backends, predict, definitions.load(backends.feast.repo), entity, moment)
    moves = trail.history(backends.database, backends.mlflow.registered_model)
    move = trail.in_production(moves, moment)
    if move is None:
        logged = _logged(asked, None)
        if logged is not None:
            return Replay(entity, moment, {}, None, "", "", None, None, logged)
        # Raises NotFound, and says that nothing was in production.
        move = trail.at(backends.database, backends.mlflow.registered_model, moment)
    release = _promoted(backends.mlflow, move)
    answered = answer(asked, release)
    return Replay(
        entity=entity,
        at=moment,
        release=move.release,
        promoted_at=move.moved_at.astimezone(UTC),
        promoted_by=move.moved_by,
        why=move.why,
        answer=answered,
        canary=_canary(asked, moves, production=release),
        logged=_logged(asked, release),
        erased_at=_erased_at(asked, key),
        dropped=_dropped(asked, answered),
    )


def _dropped(asked: Question, answered: Answer) -> str:
    if all(view.as_of is not None for view in answered.views):
        return ""
    with transaction(asked.backends.database) as connection:
        gone = months.forgotten(connection)
    return gone.words if gone and asked.moment < gone.recorded_at else ""


def _erased_at(asked: Question, key: Key | None) -> datetime | None:
    if key is None:
        return None
    with transaction(asked.backends.database) as connection:
        found = listed.find(connection, key, asked.entity)
    return found.erased_at.astimezone(UTC) if found else None


def on_trial(moves: Sequence[Move], moment: datetime) -> Move | None:
    """The row that put the canary of a moment on trial; None if no version was on trial. Pure."""
    newest = None
    for move in moves:
        if move.alias == CANARY and move.action != actions.ABANDON and move.moved_at <= moment:
            newest = move
    return newest if newest is not None and newest.to_version is not None else None


def _promoted(mlflow: MlflowSettings, move: Move) -> Release:
    release = _release(mlflow, int(move.to_version or 0))
    pinned = move.release.get("manifest_sha256")
    if pinned and release.pointer.manifest_sha256 != pinned:
        raise StreamFlowError(
            f"Version {move.to_version} is not what was promoted then: its manifest differs.",
            hint="Look at 'streamflow models history', and restore MLflow from a backup of that time.",
        )
    return release


def _canary(asked: Question, moves: Sequence[Move], production: Release) -> Canary | None:
    move = on_trial(moves, asked.moment)
    if move is None or move.to_version is None or move.to_version == production.pointer.version:
        return None
    try:
        replayed = answer(asked, _release(asked.backends.mlflow, move.to_version))
    except (NotFound, ReleaseRefused) as error:
        # The canary only stood beside production, whose answer can still be replayed.
        replayed = Answer(move.to_version, None, None, error.what, ())
    share = asked.predict.canary_share
    return Canary(
        version=move.to_version,
        started_at=move.moved_at.astimezone(UTC),
        share=share,
        in_share=in_canary(asked.entity, share),
        answer=replayed,
    )


def answer(asked: Question, release: Release) -> Answer:
    """What a release answers from the values that were served at the moment."""
    views = _views(asked, release, asked.moment)
    limits = asked.predict
    policy = Policy(
        limits.require_newest_as_of, asked.moment.timestamp() if limits.age_clock == "wall" else None
    )
    refused = refusal(release.contract, views, policy)
    if refused:
        return Answer(release.pointer.version, None, None, refused, views)
    return _computed(release, views)


def _views(asked: Question, release: Release, moment: datetime) -> tuple[ServedView, ...]:
    with transaction(asked.backends.database) as connection:
        return as_served(connection, asked.repo, release.contract, asked.entity, moment)


def _computed(release: Release, views: tuple[ServedView, ...]) -> Answer:
    contract, version = release.contract, release.pointer.version
    values = {item.view: item.values for item in views}
    row = [values[feature.view][feature.name] for feature in contract.features]
    try:
        probability = float(release.probabilities([row])[0])
    except UnknownCategoryError as error:
        return Answer(version, None, None, f"schema_mismatch: {error}", views)
    return Answer(version, probability, probability >= contract.threshold, "", views)


def _logged(asked: Question, release: Release | None) -> Logged | None:
    """The newest logged answer up to the moment, computed again by the version that gave it."""
    with transaction(asked.backends.database) as connection:
        row = connection.execute(
            sa.text(_SQL["newest_answer"]),
            {
                "entity": asked.entity,
                "model": asked.backends.mlflow.registered_model,
                "moment": asked.moment,
            },
        ).first()
    if row is None:
        return None
    same = release is not None and row.version == release.pointer.version
    used = release if release is not None and same else _release(asked.backends.mlflow, row.version)
    views = _views(asked, used, row.answered_at)
    # Staleness is not checked: the answer was given, and predict learns of a newer as-of after its values are there.
    absent = any(item.as_of is None for item in views)
    recomputed = None if absent else _computed(used, views).probability
    return Logged(
        answered_at=row.answered_at.astimezone(UTC),
        request_id=row.request_id,
        version=row.version,
        alias=row.alias,
        probability=row.probability,
        recomputed=recomputed,
        equal=recomputed == row.probability,
    )


def _release(mlflow: MlflowSettings, version: int) -> Release:
    with registry(mlflow) as client:
        return artifacts.verified(client, mlflow.registered_model, versions.get(mlflow, version)).release

"""Recipe: the same entities through the batch path and through `/predict`; both must say the same to the last bit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from streamflow.client import (
    NotPermitted,
    PredictClient,
    ProblemError,
    RequestRefused,
    UnexpectedAnswer,
    UnknownEntity,
    Unreachable,
)
from streamflow.errors import DependencyDown, NotFound, StreamFlowError
from streamflow.jobs.score import served_release
from streamflow.model_version.contract import Contract
from streamflow.postgres.engine import quote, transaction
from streamflow.release import Release
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.scoring import read
from streamflow.scoring import score as scoring
from streamflow.settings import Settings
from streamflow.snapshots import views

_TIMEOUT_SECONDS = 30.0
_LISTED = 20


@dataclass(frozen=True)
class Parity:
    """What came of the comparison.

    Attributes:
        version: Version behind `production`.
        sampled: Entities that were asked for.
        compared: Those that both paths answered or refused, by the same version.
        differences: Those where they disagree: another probability, or one refused and the other not.
        other_version: Answers by another version (a canary, or a promotion meanwhile), which are not compared.
        entities: The first entities that differ, with both answers; None is a refusal.
    """

    version: int
    sampled: int
    compared: int
    differences: int
    other_version: int
    entities: tuple[tuple[str, float | None, float | None], ...]


def parity(settings: Settings) -> Parity:
    """Compare both paths on a random sample.

    Raises:
        NotFound: nothing was materialized, or nothing is in production (`NotYet`: nothing ever was).
        DependencyDown: PostgreSQL, MLflow or predict does not answer.
    """
    repo = definitions.load(settings.feast.repo)
    release = asyncio.run(served_release(settings))
    with transaction(settings) as connection:
        as_of, known_at = _materialized(connection, release.contract)
        entities = _sample(connection, release.contract, settings.parity.sample)
    batch = _batch(settings, repo, release, entities, as_of, known_at)
    # Without kept connections, every replica behind a Kubernetes service is asked, not one alone.
    with PredictClient(
        _address(settings),
        api_key=settings.parity.secret,
        join_key=release.contract.join_key,
        timeout_seconds=_TIMEOUT_SECONDS,
        keep_alive=False,
    ) as client:
        online = {entity: _ask(client, entity) for entity in entities}
    if settings.predict.age_clock == "wall":
        # Only predict measures ages against the present time, so what it refuses may be right to be scored.
        entities = [entity for entity in entities if online[entity][0] is not None]
    return compare(release.pointer.version, entities, batch, online)


def compare(
    version: int,
    entities: Sequence[str],
    batch: Mapping[str, float],
    online: Mapping[str, tuple[int | None, float | None]],
) -> Parity:
    """Set both paths against each other. Pure.

    Args:
        batch: Probability per entity that the batch path scored.
        online: Per entity the version that answered (None: it was refused) and the probability.
    """
    found: list[tuple[str, float | None, float | None]] = []
    other = 0
    for entity in entities:
        answered_by, probability = online[entity]
        if answered_by not in (None, version):
            other += 1
            continue
        if batch.get(entity) != probability:
            found.append((entity, batch.get(entity), probability))
    return Parity(version, len(entities), len(entities) - other, len(found), other, tuple(found[:_LISTED]))


def _materialized(connection: sa.Connection, contract: Contract) -> tuple[datetime, datetime]:
    """As-of and known-at of what the online store holds."""
    row = connection.execute(
        sa.text(
            "SELECT max(newest_as_of) AS as_of, max(materialized_at) AS known_at FROM online.materializations"
            " WHERE feature_view = ANY(:views) AND newest_as_of IS NOT NULL"
        ),
        {"views": [view.name for view in contract.views]},
    ).one()
    if row.as_of is None:
        raise NotFound(
            "Nothing was materialized, so there is nothing to compare.", hint="Run 'streamflow materialize'."
        )
    return row.as_of.astimezone(UTC), row.known_at.astimezone(UTC)


def _sample(connection: sa.Connection, contract: Contract, size: int) -> list[str]:
    key = quote(contract.join_key)
    table = quote("online", contract.views[0].name)
    rows = connection.execute(
        sa.text(f"SELECT {key} FROM {table} ORDER BY random() LIMIT :size"), {"size": size}
    )
    return [str(row[0]) for row in rows]


def _batch(
    settings: Settings,
    repo: FeatureRepo,
    release: Release,
    entities: Sequence[str],
    as_of: datetime,
    known_at: datetime,
) -> dict[str, float]:
    """Scores of some entities as `streamflow score` makes them, from the snapshots as they were materialized."""
    contract = release.contract
    read.check_fits(repo, contract)
    model = scoring.Model(release.pointer.version, contract, release.encoder, release.infer)
    with views.frozen(settings, repo, known_at) as schema, transaction(settings) as source:
        rules = scoring.Rules(
            newest=read.newest_as_of(source, repo, contract, schema, as_of),
            require_newest=settings.predict.require_newest_as_of,
            threads=1,
        )
        every = read.statement(repo, contract, schema, as_of)
        listed = ", ".join(_literal(entity) for entity in entities)
        chosen = f"SELECT * FROM ({every}) AS every WHERE key IN ({listed})"
        results: Iterable[scoring.Scores] = scoring.score_all(
            model, rules, read.chunks(source, contract, chosen, max(len(entities), 1))
        )
        return {
            str(key): float(probability)
            for scores in results
            for key, probability in zip(scores.keys.to_pylist(), scores.probabilities, strict=True)
        }


def _literal(text: str) -> str:
    # COPY takes no parameters. A quote is doubled; backslashes mean nothing in a standard string.
    return "'" + text.replace("'", "''") + "'"


def _ask(client: PredictClient, entity: str) -> tuple[int | None, float | None]:
    """What `/predict` answers: version and probability; (None, None) when it refuses the entity."""
    try:
        answer = client.predict(entity)
    except (UnknownEntity, RequestRefused) as error:
        if error.problem.status in (404, 422):
            return None, None
        raise _no_answer(entity, error.problem.status) from None
    except NotPermitted:
        raise StreamFlowError(
            "Predict does not take the parity job's API key.",
            hint="Set STREAMFLOW_PARITY__API_KEY to a key that it knows.",
        ) from None
    except ProblemError as error:
        raise _no_answer(entity, error.problem.status) from None
    except UnexpectedAnswer as error:
        raise _no_answer(entity, error.status) from None
    except Unreachable as error:
        raise DependencyDown(
            f"Predict at {client.url} does not answer.",
            hint="Check that it runs, and STREAMFLOW_PARITY__URL.",
            details=error.details,
        ) from None
    return answer.model.version, answer.probability


def _no_answer(entity: str, status: int) -> DependencyDown:
    return DependencyDown(f"Predict answered {status} for '{entity}'.")


def _address(settings: Settings) -> str:
    host = settings.predict.host
    here = f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{settings.predict.port}"  # noqa: S104
    return settings.parity.url.rstrip("/") or here

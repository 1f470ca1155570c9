"""Compare batch scoring with `/predict`: sample entities, ask predict for them, and compare the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

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
from streamflow.model_version.contract import Contract
from streamflow.postgres import statements
from streamflow.postgres.job_results import ParityResult
from streamflow.postgres.names import ONLINE, quote

Answer = tuple[int | None, float | None, str]
"""Model version and probability, both None if predict refused the entity; and the id of the request."""

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_TIMEOUT_SECONDS = 30.0
_LISTED = 20


def materialized(connection: sa.Connection, contract: Contract) -> tuple[datetime, datetime]:
    """As-of and known-at of the online store's current content.

    Raises:
        NotFound: Nothing has been materialized.
    """
    row = connection.execute(
        sa.text(_SQL["materialized"]),
        {"views": [view.name for view in contract.views]},
    ).one()
    if row.as_of is None:
        raise NotFound(
            "Nothing was materialized, so there is nothing to compare.", hint="Run 'streamflow materialize'."
        )
    return row.as_of.astimezone(UTC), row.known_at.astimezone(UTC)


def sample(connection: sa.Connection, contract: Contract, size: int) -> list[str]:
    """Draw a random sample of entities from the online store."""
    key = quote(contract.join_key)
    table = quote(ONLINE, contract.views[0].name)
    rows = connection.execute(
        sa.text(f"SELECT {key} FROM {table} ORDER BY random() LIMIT :size"), {"size": size}
    )
    return [str(row[0]) for row in rows]


def answers(url: str, api_key: str, join_key: str, entities: Sequence[str]) -> dict[str, Answer]:
    """Request a prediction for each entity.

    Raises:
        DependencyDown: Predict does not answer, or answers a request with an unexpected status.
        StreamFlowError: Predict rejects the API key.
    """
    # A new connection per request: a Kubernetes Service spreads connections, not requests, over replicas.
    with PredictClient(
        url, api_key=api_key, join_key=join_key, timeout_seconds=_TIMEOUT_SECONDS, keep_alive=False
    ) as client:
        return {entity: _answer(client, entity) for entity in entities}


def compare(
    version: int, entities: Sequence[str], batch: Mapping[str, float], online: Mapping[str, Answer]
) -> ParityResult:
    """Compare batch scoring with predict. Pure.

    Entities that another version answered, such as a canary's, are counted but not compared.

    Args:
        version: Version that batch scoring used.
        entities: The sample.
        batch: Probability of each entity that batch scoring accepted.
        online: Predict's answer for each entity.
    """
    differing: list[tuple[str, float | None, float | None]] = []
    other = 0
    for entity in entities:
        answered_by, probability, request_id = online[entity]
        if answered_by not in (None, version):
            other += 1
            continue
        if batch.get(entity) != probability:
            differing.append((request_id, batch.get(entity), probability))
    return ParityResult(
        version=version,
        sampled=len(entities),
        compared=len(entities) - other,
        differences=len(differing),
        other_version=other,
        requests=tuple(differing[:_LISTED]),
    )


def _answer(client: PredictClient, entity: str) -> Answer:
    try:
        answer = client.predict(entity)
    except (UnknownEntity, RequestRefused) as error:
        if error.problem.status in (404, 422):
            return None, None, error.problem.request_id
        raise _no_answer(error.problem.status, error.problem.request_id) from None
    except NotPermitted:
        raise StreamFlowError(
            "Predict does not accept the parity job's API key.",
            hint="Set STREAMFLOW_PARITY__API_KEY to a key that it knows.",
        ) from None
    except ProblemError as error:
        raise _no_answer(error.problem.status, error.problem.request_id) from None
    except UnexpectedAnswer as error:
        raise _no_answer(error.status) from None
    except Unreachable as error:
        raise DependencyDown(
            f"Predict at {client.url} does not answer.",
            hint="Check that it runs, and STREAMFLOW_PARITY__URL.",
            details=error.details,
        ) from None
    return answer.model.version, answer.probability, answer.request_id


def _no_answer(status: int, request_id: str = "") -> DependencyDown:
    to = f" to request {request_id}" if request_id else ""
    return DependencyDown(f"Predict answered {status}{to}.", hint="Look at the log of predict.")

"""Request one prediction from an installed system; `helm test` runs this.

python -m streamflow.monitoring.smoke --url http://streamflow-predict
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from streamflow import settings as settings_module
from streamflow.client import PredictClient, ProblemError, UnexpectedAnswer, Unreachable
from streamflow.errors import DependencyDown, NotFound, Refused, StreamFlowError
from streamflow.postgres import catalog
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import ONLINE, quote
from streamflow.settings import DatabaseSettings

_TIMEOUT_SECONDS = 30.0
_PRINTED = ("model", "request_id")


def any_entity(database: DatabaseSettings, key: str) -> str:
    """Key of an entity whose features are complete in the newest materialization, else of any entity.

    Raises:
        NotFound: Nothing has been materialized.
    """
    with transaction(database) as connection:
        queries = entity_queries(key, catalog.feature_view_tables(connection))
        found = next(filter(None, (connection.exec_driver_sql(query).scalar() for query in queries)), None)
    if found is None:
        raise NotFound(
            "The online store is empty.",
            hint="Run the jobs 'ingest' and 'materialize', then test again.",
        )
    return str(found)


def entity_queries(key: str, tables: list[str]) -> list[str]:
    """Queries for an entity in all online tables: first with complete newest rows, then with any. Pure."""
    if not tables:
        return []
    names = [quote(ONLINE, table) for table in tables]
    newest = [
        f"SELECT {quote(key)} FROM {name} AS newest WHERE newest IS NOT NULL"
        f" AND event_timestamp = (SELECT max(event_timestamp) FROM {name})"
        for name in names
    ]
    any_age = [f"SELECT {quote(key)} FROM {name}" for name in names]
    return [f"{' INTERSECT '.join(parts)} ORDER BY 1 LIMIT 1" for parts in (newest, any_age)]


def predict_once(url: str, key: str, entity: str, api_key: str = "") -> Mapping[str, object]:
    """Request one prediction.

    Args:
        url: Base URL of predict.
        key: Join key.
        entity: Entity to predict for.
        api_key: Sent unless empty.

    Raises:
        Refused: Predict answered with an error.
        DependencyDown: Predict did not answer.
    """
    try:
        with PredictClient(
            url, api_key=api_key, join_key=key, timeout_seconds=_TIMEOUT_SECONDS, retries=0
        ) as client:
            return client.predict(entity).document
    except ProblemError as error:
        raise _refused(url, error.problem.status, error.problem.code, error.problem.request_id) from error
    except UnexpectedAnswer as error:
        raise _refused(url, error.status, "no answer of predict") from error
    except Unreachable as error:
        raise DependencyDown(
            f"{url} does not answer: {' '.join(error.details)}",
            hint="predict becomes ready with the first promoted model: run the job 'train'.",
        ) from error


def _refused(url: str, status: int, what: str, request_id: str = "") -> Refused:
    said = f"{what}, request {request_id}" if request_id else what
    return Refused(f"{url} answered {status}: {said}", hint="Look at the log of predict.")


def check(answer: Mapping[str, object]) -> float:
    """Extract the probability from an answer. Pure.

    Raises:
        Refused: The answer does not contain a probability between 0 and 1.
    """
    probability = answer.get("probability")
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise Refused(f"The answer has no probability; it has {', '.join(sorted(answer)) or 'nothing'}.")
    return float(probability)


def main(arguments: list[str]) -> int:
    """Request one prediction and print which model answered; return the exit code.

    What is printed ends in the log of a pod, so neither the entity nor its probability is.
    """
    parser = argparse.ArgumentParser(prog="python -m streamflow.monitoring.smoke")
    parser.add_argument("--url", required=True)
    parser.add_argument("--entity", default="")
    options = parser.parse_args(arguments)
    try:
        settings = settings_module.load()
        entity = options.entity or any_entity(settings.database, settings.predict.join_key)
        answer = predict_once(options.url, settings.predict.join_key, entity, settings.parity.secret)
        check(answer)
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps({name: answer.get(name) for name in _PRINTED}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

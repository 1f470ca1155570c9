"""Does the installed system predict? What `helm test` runs.

python -m streamflow.monitoring.smoke --url http://streamflow-predict
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request

import sqlalchemy as sa

from streamflow import settings as settings_module
from streamflow.errors import DependencyDown, NotFound, Refused, StreamFlowError
from streamflow.postgres.engine import quote, transaction
from streamflow.settings import Settings

_TIMEOUT_SECONDS = 30


def any_entity(settings: Settings) -> str:
    """The key of some entity that has every value in the newest materialization; of any entity if there is none.

    Raises:
        NotFound: nothing was materialized.
    """
    key = settings.predict.join_key
    with transaction(settings) as connection:
        tables = connection.execute(
            sa.text(
                "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE nspname = 'online' AND relkind = 'r' AND relname <> 'materializations'"
                " ORDER BY relname"
            )
        ).scalars()
        queries = entity_queries(key, list(tables))
        found = next(filter(None, (connection.exec_driver_sql(query).scalar() for query in queries)), None)
    if found is None:
        raise NotFound(
            "The online store holds no entity.",
            hint="Run the jobs 'ingest' and 'materialize', then test again.",
        )
    return str(found)


def entity_queries(key: str, tables: list[str]) -> list[str]:
    """SQL for one entity that all online tables hold: first newest and without a NULL, then any. Pure."""
    if not tables:
        return []
    names = [quote("online", table) for table in tables]
    newest = [
        f"SELECT {quote(key)} FROM {name} AS held WHERE held IS NOT NULL"
        f" AND event_timestamp = (SELECT max(event_timestamp) FROM {name})"
        for name in names
    ]
    any_age = [f"SELECT {quote(key)} FROM {name}" for name in names]
    return [f"{' INTERSECT '.join(parts)} ORDER BY 1 LIMIT 1" for parts in (newest, any_age)]


def predict_once(url: str, key: str, entity: str, api_key: str = "") -> dict[str, object]:
    """Ask for one prediction, with an API key when there is one.

    Raises:
        Refused: the service answered with a problem.
        DependencyDown: the service did not answer.
    """
    body = json.dumps({key: entity}).encode()
    headers = {"content-type": "application/json"}
    if api_key:
        headers["x-api-key"] = api_key
    request = urllib.request.Request(  # noqa: S310
        f"{url}/predict", data=body, headers=headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            answer: dict[str, object] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        problem = error.read(2000).decode(errors="replace")
        raise Refused(
            f"{url} answered {error.code}: {problem}", hint="Look at the log of predict."
        ) from error
    except OSError as error:
        raise DependencyDown(
            f"{url} does not answer: {error}",
            hint="predict becomes ready with the first promoted model: run the job 'train'.",
        ) from error


def check(answer: dict[str, object]) -> float:
    """The probability of an answer. Pure.

    Raises:
        Refused: there is none between 0 and 1.
    """
    probability = answer.get("probability")
    if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
        raise Refused(f"The answer holds no probability: {json.dumps(answer)[:500]}")
    return float(probability)


def main(arguments: list[str]) -> int:
    """Predict once and print the answer."""
    parser = argparse.ArgumentParser(prog="python -m streamflow.monitoring.smoke")
    parser.add_argument("--url", required=True)
    parser.add_argument("--entity", default="")
    options = parser.parse_args(arguments)
    try:
        settings = settings_module.load()
        entity = options.entity or any_entity(settings)
        answer = predict_once(options.url, settings.predict.join_key, entity, settings.parity.secret)
        check(answer)
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

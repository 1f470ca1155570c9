"""Recipe: is everything there and as fresh as the newest drop?"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from streamflow.errors import NotYet, Refused
from streamflow.monitoring.freshness import Freshness, read
from streamflow.postgres.engine import transaction
from streamflow.settings import Settings


@dataclass(frozen=True)
class Monitored:
    """The figures that were looked at; all of them hold together."""

    newest_drop: str
    tables: dict[str, int]
    views: dict[str, int]


def monitor(settings: Settings) -> Monitored:
    """Compare drops, source tables and online tables with each other.

    Raises:
        NotYet: no drop has been ingested.
        Refused: something is missing or behind; `details` says each.
    """
    with transaction(settings) as connection:
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        found = read(connection)
    if found.newest_drop is None:
        raise NotYet("No drop has been ingested.", hint="Put one into the inbox and run the job 'ingest'.")
    problems = judge(found)
    if problems:
        raise Refused(
            "The data does not hold together.",
            details=tuple(problems),
            hint="Run the jobs 'ingest' and 'materialize', and look at their logs.",
        )
    return Monitored(
        newest_drop=found.newest_drop.date().isoformat(),
        tables={name: item.rows for name, item in found.tables.items()},
        views={name: item.rows for name, item in found.views.items()},
    )


def judge(found: Freshness) -> list[str]:
    """What is wrong, a sentence each. Pure."""
    if found.newest_drop is None:
        return ["no drop has been ingested"]
    day = found.newest_drop.date()
    problems = []
    for name, table in found.tables.items():
        if table.newest_as_of is None:
            problems.append(f"source table {name} is empty")
        elif table.newest_as_of < found.newest_drop:
            problems.append(
                f"source table {name} ends at {table.newest_as_of.date()}, the newest drop is of {day}"
            )
    for name, view in found.views.items():
        if view.newest_as_of is None:
            problems.append(f"feature view {name} was never materialized")
        elif view.newest_as_of < found.newest_drop:
            problems.append(
                f"feature view {name} ends at {view.newest_as_of.date()}, the newest drop is of {day}"
            )
        elif not view.rows:
            problems.append(f"feature view {name} holds no entity")
    return problems

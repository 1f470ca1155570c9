"""Read the verdicts of a month from the tables `monitoring.*`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.errors import NotFound
from streamflow.monitoring.report.verdicts import DRIFTED, Drift, Feature, Harm, Quality, Verdicts
from streamflow.postgres import statements
from streamflow.times import midnight

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def read(
    connection: sa.Connection, model: str, first: date, last: date, known_at: datetime | None = None
) -> Verdicts:
    """The verdicts of the newest month between two dates.

    Args:
        connection: Connection to StreamFlow's database.
        model: Registered model.
        first: First as-of that is wanted.
        last: Last as-of that is wanted.
        known_at: Verdicts that were given later do not count; None for all.

    Raises:
        NotFound: No month between the dates was judged.
    """
    parameters: dict[str, Any] = {"model": model, "known_at": known_at or datetime.max}
    between = {"first": midnight(first), "last": midnight(last)}
    month = connection.execute(sa.text(_SQL["judged_month"]), parameters | between).one_or_none()
    if month is None:
        raise _not_judged(connection, parameters, first, last)
    parameters |= {"version": month.version, "as_of": month.as_of}

    def rows(name: str, **others: Any) -> list[dict[str, Any]]:
        found = connection.execute(sa.text(_SQL[name]), parameters | others).mappings()
        return [{column: _finite(value) for column, value in row.items()} for row in found]

    read_so_far = Verdicts(
        model=model,
        version=month.version,
        as_of=month.as_of,
        drifts=tuple(Drift(**row) for row in rows("drifts")),
        qualities=tuple(Quality(**row) for row in rows("qualities")),
        harms=tuple(Harm(**row) for row in rows("harms")),
    )
    if read_so_far.drift is None:
        return read_so_far
    features = [Feature(**row) for row in rows("features", drift_id=read_so_far.drift.drift_id)]
    drifted = rows("drifted_features", drift_ids=[item.drift_id for item in read_so_far.by_month])
    return replace(read_so_far, features=_with_since(features, read_so_far.by_month, drifted))


def _with_since(
    features: list[Feature], months: tuple[Drift, ...], drifted: list[dict[str, Any]]
) -> tuple[Feature, ...]:
    """Say of each feature that drifted since which month it has, without a break."""
    pairs = {(row["drift_id"], row["name"]) for row in drifted}
    found = []
    for feature in features:
        since = None
        for month in reversed(months):
            if feature.outcome != DRIFTED or (month.drift_id, feature.name) not in pairs:
                break
            since = month.as_of
        found.append(replace(feature, since=since))
    return tuple(found)


def _finite(value: Any) -> Any:
    """A value as it is; None for a number that is infinite or not a number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _not_judged(
    connection: sa.Connection, parameters: Mapping[str, Any], first: date, last: date
) -> NotFound:
    judged = connection.execute(sa.text(_SQL["judged_months"]), parameters).scalars()
    months = ", ".join(f"{as_of:%Y-%m-%d}" for as_of in judged)
    when = f"as of {last}" if first == last else f"up to {last}"
    hint = "Judge one: streamflow monitor drift, streamflow monitor quality."
    return NotFound(
        f"No month of {parameters['model']} {when} has been judged.",
        hint=f"{hint} Months that were judged: {months}." if months else hint,
    )

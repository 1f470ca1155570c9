"""The slices that the feature repo declares: which part of each an entity belongs to as of a date."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from streamflow.postgres import newest
from streamflow.postgres.names import quote
from streamflow.repo.declarations import Slice
from streamflow.repo.definitions import FeatureRepo

UNKNOWN = "unknown"


def read(
    connection: sa.Connection, repo: FeatureRepo, schema: str, as_of: datetime
) -> dict[str, dict[str, str]]:
    """For each declared slice, the part that each entity belongs to.

    Args:
        connection: Connection to read on.
        repo: The feature repo.
        schema: Schema of the snapshot views to read.
        as_of: When the world is looked at.
    """
    key = quote(repo.join_key)
    found: dict[str, dict[str, str]] = {}
    for item in repo.slices:
        view = quote(schema, repo.table(item.table).snapshots)
        select = newest.per_entity(
            [key, quote(item.column)], view, [key], ["as_of", "loaded_at"], "as_of <= :as_of"
        )
        rows = connection.execute(sa.text(select), {"as_of": as_of})
        found[item.name] = {str(row[0]): part(item, row[1]) for row in rows}
    return found


def part(item: Slice, value: Any) -> str:
    """The part a value belongs to: the value itself, or its band. Pure."""
    if value is None:
        return UNKNOWN
    if not item.bands:
        return str(value)
    return band(item.bands, float(value))


def band(bounds: Sequence[float], value: float) -> str:
    """The band of a number: `under 12`, `12 to 24`, `48 and more`; a bound belongs to the band above it. Pure."""
    if value < bounds[0]:
        return f"under {bounds[0]:g}"
    for low, high in itertools.pairwise(bounds):
        if value < high:
            return f"{low:g} to {high:g}"
    return f"{bounds[-1]:g} and more"

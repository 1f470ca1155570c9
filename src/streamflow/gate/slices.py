"""The slices that the feature repo declares: which part of each an entity belongs to as of a date."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from streamflow.lake import ledger, place
from streamflow.lake import read as lake_read
from streamflow.postgres import newest
from streamflow.postgres.names import quote
from streamflow.repo.definitions import FeatureRepo
from streamflow.repo.parts import part


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


def read_lake(
    connection: sa.Connection, repo: FeatureRepo, lake: str, as_of: datetime, known_at: datetime
) -> dict[str, dict[str, str]]:
    """As `read`, from the files of the lake.

    Args:
        connection: Connection to read the ledger on.
        repo: The feature repo.
        lake: URL of the lake.
        as_of: When the world is looked at.
        known_at: Newest load time of a row.
    """
    opened = place.opened(lake)
    found: dict[str, dict[str, str]] = {}
    for item in repo.slices:
        drops = ledger.drops(connection, opened, item.table, known_at)
        parts = found.setdefault(item.name, {})
        until = [of for of in drops if of.as_of <= as_of]
        for rows in lake_read.newest(opened, repo.table(item.table), until, [item.column]):
            keys, values = (column.to_pylist() for column in rows.columns)
            parts |= {str(key): part(item, value) for key, value in zip(keys, values, strict=True)}
    return found

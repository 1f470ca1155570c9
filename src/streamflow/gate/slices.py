"""The slices that the feature repo declares: which part of each an entity belongs to as of a date."""

from __future__ import annotations

from collections.abc import Collection, Set
from datetime import datetime

import sqlalchemy as sa

from streamflow.lake import ledger, place
from streamflow.lake import read as lake_read
from streamflow.postgres import newest
from streamflow.postgres.names import quote
from streamflow.repo.declarations import Slice
from streamflow.repo.definitions import FeatureRepo
from streamflow.repo.parts import part


def read(
    connection: sa.Connection, repo: FeatureRepo, schema: str, as_of: datetime, entities: Collection[str]
) -> dict[str, dict[str, str]]:
    """For each declared slice, the part that each entity belongs to; entities without a row are left out.

    Args:
        connection: Connection to read on.
        repo: The feature repo.
        schema: Schema of the snapshot views to read.
        as_of: When the world is looked at.
        entities: Keys of the entities.
    """
    wanted = set(entities)
    return {item.name: _parts(connection, repo, item, schema, as_of, wanted) for item in repo.slices}


def _parts(
    connection: sa.Connection, repo: FeatureRepo, item: Slice, schema: str, as_of: datetime, wanted: Set[str]
) -> dict[str, str]:
    key, view = quote(repo.join_key), quote(schema, repo.table(item.table).snapshots)
    found: dict[str, str] = {}
    # Read older months only if an entity has no row in the newest one.
    for condition in ("as_of = :as_of", "as_of < :as_of"):
        if len(found) == len(wanted):
            break
        select = newest.per_entity([key, quote(item.column)], view, [key], ["as_of", "loaded_at"], condition)
        for entity, value in connection.execute(sa.text(select), {"as_of": as_of}):
            if str(entity) in wanted:
                found.setdefault(str(entity), part(item, value))
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

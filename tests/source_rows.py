"""Drops that tests make up in SQL: an entry in the ledger, and the partitions for its rows."""

import sqlalchemy as sa

from streamflow.drops import partitions
from streamflow.postgres import catalog

_ADD = (
    "INSERT INTO streamflow.drops (drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted, quarantined)"
    " SELECT :drop, CAST(:as_of AS timestamptz), coalesce(max(sequence), 0) + 1, :drop,"
    " coalesce(CAST(:loaded_at AS timestamptz), clock_timestamp()), 'tests', 'tests', 0, 0"
    " FROM streamflow.drops WHERE as_of = CAST(:as_of AS timestamptz) RETURNING drop_number"
)


def add_drop(connection, drop_id, as_of, loaded_at=None):
    """Add a drop to the ledger; return its number, which its rows have."""
    values = {"drop": drop_id, "as_of": as_of, "loaded_at": loaded_at}
    number = connection.execute(sa.text(_ADD), values).scalar_one()
    for table in partitioned(connection):
        partitions.add(connection, table, number)
    return number


def partitioned(connection):
    """Names of the source tables."""
    return [table for schema, table in catalog.every_table(connection) if schema == "source"]

"""The hash chain over the ledger of drops: verify that no drop, and none of its files, was changed or removed."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from streamflow.drops import tables
from streamflow.errors import StreamFlowError
from streamflow.postgres import hash_chain, statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.hash_chain import Link
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def read(connection: sa.Connection) -> list[Link]:
    """The whole chain, oldest drop first."""
    rows = connection.execute(sa.text(_SQL["chain"]))
    return [Link(row[0], tuple(row[3:]), row[1], row[2]) for row in rows]


def problems(database: DatabaseSettings) -> tuple[str, ...]:
    """What is wrong with the ledger of drops, a sentence each; empty when the chain holds and every table is guarded."""
    with transaction(database) as connection:
        links = read(connection)
        outside = connection.execute(sa.text(_SQL["unlinked"])).scalars()
        unlinked = tuple(f"Drop {name} is not in the chain." for name in outside)
        return hash_chain.broken(links, "Drop") + unlinked + tables.unguarded(connection)


def verify(database: DatabaseSettings) -> None:
    """Verify the ledger of drops.

    Raises:
        StreamFlowError: A drop was changed or removed, or a table is not guarded; `details` says which.
    """
    if found := problems(database):
        raise StreamFlowError(
            "The ledger of drops was tampered with, or can be.",
            details=found,
            hint="Compare it with a backup (docs/governance.md), and find out who owns the database."
            " If a trigger is missing: streamflow features apply",
        )

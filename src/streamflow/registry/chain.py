"""The hash chain over the audit trail: verify that no row was changed, removed or cut off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from streamflow.errors import StreamFlowError
from streamflow.model_version import tags
from streamflow.postgres import hash_chain, statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.hash_chain import GENESIS, Link
from streamflow.settings import DatabaseSettings

# The tag may hold anything: others can write to MLflow, too.
_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def read(connection: sa.Connection) -> list[Link]:
    """The whole chain, of all models, oldest first."""
    rows = connection.execute(sa.text(_SQL["chain"]))
    return [Link(row[0], tuple(row[3:]), row[1], row[2]) for row in rows]


def has_row(connection: sa.Connection, anchor: str) -> bool:
    """Whether the chain still has the row that an anchor names; true for an anchor that names none."""
    named = _ANCHOR.fullmatch(anchor)
    if named is None:
        return True
    number, expected = int(named[1]), named[2]
    parameters = {"promotion_id": number}
    actual = connection.execute(sa.text(_SQL["hash_of_row"]), parameters).scalar()
    return bool(actual == expected)


def broken(links: Sequence[Link], anchor: str = "") -> tuple[str, ...]:
    """What is wrong with a chain, a sentence each; empty when it holds. Pure.

    Args:
        links: The chain, oldest row first.
        anchor: "number:hash" of a row that was once the newest, stored elsewhere; "" when there is none.
    """
    problems = list(hash_chain.broken(links))
    named = _ANCHOR.fullmatch(anchor)
    if named is not None:
        number, expected = int(named[1]), named[2]
        if number > len(links):
            problems.append(f"Rows {len(links) + 1} to {number} are missing at the end.")
        elif links[number - 1].hash != expected:
            problems.append(f"Row {number} is not the one that MLflow's tag '{tags.AUDIT}' names.")
    return tuple(problems)


def problems(database: DatabaseSettings, anchor: str = "") -> tuple[str, ...]:
    """What is wrong with the chain in the database, a sentence each; empty when it holds."""
    with transaction(database) as connection:
        return broken(read(connection), anchor)


def verify(database: DatabaseSettings, anchor: str = "") -> str:
    """Verify the chain in the database.

    Returns:
        Hash of the newest row; GENESIS when there is none.

    Raises:
        StreamFlowError: The chain is broken; `details` says where.
    """
    with transaction(database) as connection:
        links = read(connection)
    problems = broken(links, anchor)
    if problems:
        raise StreamFlowError(
            "The audit trail of promotions was tampered with.",
            details=problems,
            hint="Compare it with a backup (docs/governance.md), and find out who owns the database. If rows were lost"
            " for a known reason: streamflow models history --acknowledge WHY",
        )
    return links[-1].hash if links else GENESIS

"""The hash chain over the audit trail: verify that no row was changed, removed or cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.errors import StreamFlowError
from streamflow.model_version import tags
from streamflow.postgres import hash_chain, statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.hash_chain import GENESIS, Link
from streamflow.registry import actions
from streamflow.settings import DatabaseSettings

# The tag may hold anything: others can write to MLflow, too.
_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
# Where the chain's statement has these fields.
_ACTION, _FACTS = 9, 12
_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def read(connection: sa.Connection) -> list[Link]:
    """The whole chain, of all models, oldest first."""
    rows = connection.execute(sa.text(_SQL["chain"]))
    return [Link(row[0], tuple(row[3:]), row[1], row[2]) for row in rows]


def has_row(connection: sa.Connection, anchor: str) -> bool:
    """Whether the chain has the row that an anchor names, or a restore that says it is lost; true if it names none."""
    named = _ANCHOR.fullmatch(anchor)
    if named is None:
        return True
    parameters = {"promotion_id": int(named[1]), "hash": named[2], "anchor": anchor}
    return bool(connection.execute(sa.text(_SQL["knows_row"]), parameters).scalar_one())


def _facts(link: Link) -> dict[str, Any]:
    found = json.loads(link.texts[_FACTS] or "{}")
    return found if isinstance(found, dict) else {}


def _restores(links: Sequence[Link]) -> list[tuple[Link, dict[str, Any]]]:
    """The rows that restores added, each with its facts."""
    return [(link, _facts(link)) for link in links if link.texts[_ACTION : _ACTION + 1] == (actions.RESTORE,)]


def lost(links: Sequence[Link]) -> set[str]:
    """The rows that restores say are lost, each as "number:hash". Pure."""
    found = set()
    for _, facts in _restores(links):
        found |= {f"{row.get('row')}:{row.get('hash')}" for row in facts.get(actions.LOST, ())}
        found |= {str(facts.get(actions.FORMER_HEAD)), str(facts.get(actions.ANCHOR))}
    return found


def losses(links: Sequence[Link]) -> tuple[str, ...]:
    """What restores have lost of the chain, a sentence for each that lost rows; empty if none did. Pure."""
    found = []
    known = {f"{link.number}:{link.hash}" for link in links}
    for link, facts in _restores(links):
        begin = f"Row {link.number} is a restore of the backup {facts.get(actions.BACKUP)}, which lost"
        if count := facts.get(actions.LOST_COUNT):
            head = facts.get(actions.FORMER_HEAD)
            found.append(f"{begin} {count} {'row' if count == 1 else 'rows'}; the newest was {head}.")
        elif (anchor := facts.get(actions.ANCHOR)) and anchor not in known:
            found.append(f"{begin} the rows up to {anchor}, which MLflow named as the newest.")
    return tuple(found)


def broken(links: Sequence[Link], anchor: str = "") -> tuple[str, ...]:
    """What is wrong with a chain, a sentence each; empty when it holds. Pure.

    Args:
        links: The chain, oldest row first.
        anchor: "number:hash" of a row that was once the newest, stored elsewhere; "" when there is none.
    """
    problems = list(hash_chain.broken(links))
    named = _ANCHOR.fullmatch(anchor)
    if named is not None and f"{int(named[1])}:{named[2]}" not in lost(links):
        number, expected = int(named[1]), named[2]
        if number > len(links):
            problems.append(f"Rows {len(links) + 1} to {number} are missing at the end.")
        elif links[number - 1].hash != expected:
            problems.append(f"Row {number} is not the one that MLflow's tag '{tags.AUDIT}' names.")
    return tuple(problems)


def links(database: DatabaseSettings) -> list[Link]:
    """The chain in the database."""
    with transaction(database) as connection:
        return read(connection)


def verify(database: DatabaseSettings, anchor: str = "") -> str:
    """Verify the chain in the database.

    Returns:
        Hash of the newest row; GENESIS when there is none.

    Raises:
        StreamFlowError: The chain is broken; `details` says where.
    """
    found = links(database)
    problems = broken(found, anchor)
    if problems:
        raise StreamFlowError(
            "The audit trail of promotions was tampered with.",
            details=problems,
            hint="Compare it with a backup (docs/governance.md), and find out who owns the database. If rows were lost"
            " for a known reason: streamflow models history --acknowledge WHY",
        )
    return found[-1].hash if found else GENESIS

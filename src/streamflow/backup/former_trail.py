"""The audit trail that a restore replaces: nobody adds to it any more, and the restored one records what is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from streamflow.errors import Busy, StreamFlowError
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres import catalog, locks
from streamflow.postgres.engine import ending_session, translated
from streamflow.postgres.hash_chain import Link
from streamflow.postgres.names import PLATFORM, quote
from streamflow.registry import actions, chain, trail, transitions
from streamflow.registry.trail import Change, Move
from streamflow.settings import DatabaseSettings

_WAIT_SECONDS = 60
_MOST_NAMED = 200
"""Lost rows that the row of a restore names; it says how many there are."""


@dataclass(frozen=True)
class FormerTrail:
    """The trail of the database that is replaced. Nobody adds a row while it is open.

    Attributes:
        links: Its chain, oldest row first; empty if there is no database, or no trail in it.
        moves: Its rows about the model.
        session: Process id of the session that keeps it as it is; None if there is nothing to keep.
    """

    links: tuple[Link, ...] = ()
    moves: tuple[Move, ...] = ()
    session: int | None = None


@contextlib.contextmanager
def unchanged(database: DatabaseSettings, name: str, model: str) -> Iterator[FormerTrail]:
    """Hold the promotion lock, and let nobody add a row to the trail, until the session is ended with its database.

    Args:
        database: The server.
        name: Name of the database; it may be missing.
        model: Registered model.

    Raises:
        Busy: Somebody promotes for too long.
        DependencyDown: PostgreSQL does not answer.
    """
    # The swap ends the session, unless the restore fails before.
    with ending_session(database, name) as connection:
        with translated(database):
            former = _held(connection, name, model)
        yield former


def _held(connection: sa.Connection, name: str, model: str) -> FormerTrail:
    try:
        if not catalog.exists(connection, "streamflow.promotions"):
            return FormerTrail()
        connection.execute(sa.text(f"SET lock_timeout = '{_WAIT_SECONDS}s'"))
        # With the lock, whoever promoted last has also brought MLflow in line.
        locks.wait(connection, locks.of_promotions(model))
        connection.exec_driver_sql(f"LOCK TABLE {quote(PLATFORM, 'promotions')} IN EXCLUSIVE MODE")
        session = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        return FormerTrail(tuple(chain.read(connection)), tuple(trail.read(connection, model)), session)
    except sa.exc.DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        if "lock timeout" in reason:
            raise Busy(
                f"Somebody promotes for more than {_WAIT_SECONDS} s. The present databases are unchanged.",
                hint="Try again later.",
            ) from error
        if error.connection_invalidated:
            raise
        raise StreamFlowError(
            f"The audit trail in '{name}' cannot be read, so nothing could say what a restore loses of it.",
            details=(reason,),
            hint=f"Rename the database '{name}' as an administrator, keep it as evidence, and restore again.",
        ) from error


def record(
    connection: sa.Connection, model: str, former: FormerTrail, backup: Mapping[str, str], by: str
) -> Move:
    """Add the row of the restore to the restored trail.

    Args:
        connection: Connection to the restored database, with a transaction.
        model: Registered model.
        former: The trail that is replaced.
        backup: Which backup it is: facts of the row, of which `backup` is the folder's name.
        by: Who restores.
    """
    restored = {(link.number, link.hash) for link in chain.read(connection)}
    lost = [link for link in former.links if (link.number, link.hash) not in restored]
    head = former.links[-1] if former.links else None
    known = {move.promotion_id: move for move in former.moves}
    facts = {
        **backup,
        actions.FORMER_HEAD: _anchor(head) if head else None,
        actions.LOST_COUNT: len(lost),
        actions.LOST: [_named(link, known.get(link.number)) for link in lost[-_MOST_NAMED:]],
    }
    current = transitions.recorded(trail.read(connection, model))[PRODUCTION]
    why = f"the databases are those of the backup {backup[actions.BACKUP]}; {_summary(lost, head)}"
    return trail.append(
        connection, model, Change(PRODUCTION, current, current, actions.RESTORE, by, why, facts)
    )


def _anchor(link: Link) -> str:
    return f"{link.number}:{link.hash}"


def _named(link: Link, move: Move | None) -> dict[str, Any]:
    """A lost row, with what it did if it is about the model."""
    named: dict[str, Any] = {"row": link.number, "hash": link.hash}
    if move is not None:
        named |= {
            "moved_at": move.moved_at.isoformat(),
            "moved_by": move.moved_by,
            "action": move.action,
            "alias": move.alias,
            "to_version": move.to_version,
        }
    return named


def _summary(lost: list[Link], head: Link | None) -> str:
    if head is None:
        return "nothing was replaced"
    if not lost:
        return f"no row was lost, the newest was {_anchor(head)}"
    first = lost[0].number
    rows = f"row {first} was" if len(lost) == 1 else f"rows {first} to {head.number} were"
    return f"{rows} lost, the newest was {_anchor(head)}"

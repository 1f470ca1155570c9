"""The audit trail of promotions: append a row, read the rows, look up what was in production at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.errors import NotFound
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.registry import actions, transitions
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Change:
    """One change of an alias, from which its row of the trail is written.

    Attributes:
        alias: The alias.
        from_version: The version it points at before; None when it is unset.
        to_version: The version it points at afterwards; None unsets it.
        action: What is done, as `actions` names it.
        by: Who does it, as they say.
        why: The reason given.
        facts: What else is known.
        release: The release behind the alias afterwards, as one record.
        gate: What the gate said.
    """

    alias: str
    from_version: int | None
    to_version: int | None
    action: str
    by: str
    why: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    release: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self, model: str) -> dict[str, Any]:
        """The change as parameters of a statement that inserts it."""
        return {
            "model": model,
            "alias": self.alias,
            "from_version": self.from_version,
            "to_version": self.to_version,
            "action": self.action,
            "by": self.by,
            "why": self.why,
            "facts": json.dumps(self.facts),
            "release": json.dumps(self.release),
            "gate": json.dumps(self.gate),
        }


@dataclass(frozen=True)
class Move:
    """One row of the trail.

    Attributes:
        moved_at: When the alias was moved.
        moved_by: Who moved it, as they said.
        alias: The alias.
        from_version: The version it pointed at before; None when it was unset.
        to_version: The version it points at since; None when it was unset.
        action: What was done, as `actions` names it.
        why: The reason given.
        facts: What else was known.
        promotion_id: Number of the row; there are no gaps.
        model: Registered model.
        login: Who moved it, as PostgreSQL authenticated them.
        recorded_at: When the row was written, by the database's clock.
        intent_id: In rows of earlier releases: announcement of the move.
        release: The release behind the alias since, as one record.
        gate: What the gate said.
        hash: Hash of the row and of the one before it.
    """

    moved_at: datetime
    moved_by: str
    alias: str
    from_version: int | None
    to_version: int | None
    action: str
    why: str
    facts: dict[str, Any]
    promotion_id: int = 0
    model: str = ""
    login: str = ""
    recorded_at: datetime | None = None
    intent_id: int | None = None
    release: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    hash: str = ""


def read(connection: sa.Connection, model: str) -> list[Move]:
    """Every row about a model, oldest first."""
    rows = connection.execute(sa.text(_SQL["rows_of_model"]), {"model": model})
    return [Move(**row._mapping) for row in rows]


def append(
    connection: sa.Connection,
    model: str,
    change: Change,
) -> Move:
    """Write one row; the database numbers it, dates it and links it to the one before.

    Args:
        connection: Connection to write on.
        model: Registered model.
        change: What was done.
    """
    row = connection.execute(
        sa.text(_SQL["append_row"]),
        change.parameters(model),
    ).one()
    return Move(**row._mapping)


def history(database: DatabaseSettings, model: str) -> list[Move]:
    """Every move of the model's aliases, oldest first."""
    with transaction(database) as connection:
        return read(connection, model)


def targets(database: DatabaseSettings, model: str) -> dict[str, int | None]:
    """The version that each alias stands for by the ledger."""
    return transitions.recorded(history(database, model))


def in_production(moves: Sequence[Move], moment: datetime) -> Move | None:
    """The row that put into production what was there at that moment; None when nothing was. Pure."""
    newest = None
    for move in moves:
        if move.alias != PRODUCTION or move.action == actions.ABANDON or move.moved_at > moment:
            continue
        # A row that names the same version again (a stage that was put back) changed nothing.
        if newest is None or newest.to_version != move.to_version:
            newest = move
    return newest if newest is not None and newest.to_version is not None else None


def uncertain(moves: Sequence[Move], moment: datetime) -> Move | None:
    """The external change that may have been made by that moment, although it was noticed later. Pure."""
    for move in moves:
        since = move.facts.get(actions.NOT_BEFORE)
        moved = move.alias == PRODUCTION and move.from_version != move.to_version
        if since and moved and datetime.fromisoformat(since) < moment < move.moved_at:
            return move
    return None


def lost(moves: Sequence[Move], moment: datetime) -> Move | None:
    """The restore that lost rows of that moment, so that another version may have been in production. Pure."""
    for move in moves:
        rows = move.facts.get(actions.LOST, ()) if move.action == actions.RESTORE else ()
        dates = [datetime.fromisoformat(row["moved_at"]) for row in rows if "moved_at" in row]
        if dates and min(dates) <= moment < move.moved_at:
            return move
    return None


def at(database: DatabaseSettings, model: str, moment: datetime) -> Move:
    """The row that says what was in production at a moment.

    Raises:
        NotFound: Nothing was in production.
    """
    row = in_production(history(database, model), moment)
    if row is None:
        raise NotFound(
            f"Nothing was in production at {moment.isoformat(timespec='seconds')}.",
            hint="'streamflow models history' lists every promotion.",
        )
    return row

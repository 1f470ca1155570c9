"""The audit trail of promotions: append, read, verify its hash chain, and ask what was in production then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from streamflow.errors import NotFound, StreamFlowError
from streamflow.model_version.aliases import PRODUCTION
from streamflow.postgres.engine import transaction
from streamflow.settings import Settings

ANCHOR_TAG = "streamflow.audit"
"""Tag of the registered model that names the newest row and its hash: an anchor in another database."""

_COLUMNS = (
    "promotion_id, moved_at, moved_by, model, alias, from_version, to_version, action, why, facts,"
    " login, recorded_at, intent_id, release, gate, hash"
)
_UTC = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
# The fields that are hashed, as text, in the order of streamflow.promotion_hash.
_HASHED = (
    "promotion_id::text",
    _UTC.format("moved_at"),
    _UTC.format("recorded_at"),
    "moved_by",
    "login",
    "model",
    "alias",
    "from_version::text",
    "to_version::text",
    "action",
    "why",
    "intent_id::text",
    "facts::text",
    "release::text",
    "gate::text",
)
GENESIS = "0" * 64
"""What the first row names as the hash before it."""


@dataclass(frozen=True)
class Move:
    """One row of the history.

    Attributes:
        moved_at: When.
        moved_by: Who, as they said.
        alias: Which alias was moved.
        from_version: Where it pointed; None for the first time.
        to_version: Where it points since.
        action: `promote`, `rollback`, `outside` (moved past StreamFlow), `revert` (an outside move taken back),
            `abandon` (announced, but never done), `trial`, `end trial` or `acknowledge` (rows were lost, and somebody
            says why).
        why: The reason given.
        facts: What else was known.
        promotion_id: Number of the row, without gaps.
        model: Registered model.
        login: Who, as PostgreSQL authenticated them.
        recorded_at: When the row was written, by the database's clock.
        intent_id: The announcement of the move.
        release: What was promoted, as one record.
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


@dataclass(frozen=True)
class Link:
    """One row of the chain: the texts that are hashed, and the two hashes it carries."""

    promotion_id: int
    texts: tuple[str | None, ...]
    previous_hash: str
    hash: str


def read(connection: sa.Connection, model: str) -> list[Move]:
    """Every row about a model, oldest first."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM streamflow.promotions WHERE model = :model ORDER BY promotion_id"),
        {"model": model},
    )
    return [Move(**row._mapping) for row in rows]


def append(
    connection: sa.Connection,
    *,
    model: str,
    alias: str,
    from_version: int | None,
    to_version: int | None,
    action: str,
    by: str,
    why: str,
    facts: dict[str, Any] | None = None,
    release: dict[str, Any] | None = None,
    gate: dict[str, Any] | None = None,
    intent_id: int | None = None,
    moved_at: datetime | None = None,
) -> Move:
    """Write one row; the database numbers it, dates it and links it to the one before."""
    # Never before the newest row, which the database refuses: its clock may have been set back.
    row = connection.execute(
        sa.text(
            "INSERT INTO streamflow.promotions (moved_at, moved_by, model, alias, from_version, to_version,"
            " action, why, facts, release, gate, intent_id) VALUES (greatest(coalesce(:moved_at, clock_timestamp()),"
            " (SELECT max(moved_at) FROM streamflow.promotions WHERE model = :model)), :by,"
            " :model, :alias, :from_version, :to_version, :action, :why, CAST(:facts AS jsonb),"
            f" CAST(:release AS jsonb), CAST(:gate AS jsonb), :intent_id) RETURNING {_COLUMNS}"
        ),
        {
            "moved_at": moved_at,
            "by": by,
            "model": model,
            "alias": alias,
            "from_version": from_version,
            "to_version": to_version,
            "action": action,
            "why": why,
            "facts": json.dumps(facts or {}),
            "release": json.dumps(release or {}),
            "gate": json.dumps(gate or {}),
            "intent_id": intent_id,
        },
    ).one()
    return Move(**row._mapping)


def history(settings: Settings, *, alias: str | None = None) -> list[Move]:
    """Every move of the model's aliases, oldest first."""
    with transaction(settings) as connection:
        moves = read(connection, settings.mlflow.registered_model)
    return [move for move in moves if alias in (None, move.alias)]


def in_production(moves: Sequence[Move], moment: datetime) -> Move | None:
    """The row that put into production what was there at that moment; None when nothing was. Pure."""
    found = None
    for move in moves:
        if move.alias != PRODUCTION or move.action == "abandon" or move.moved_at > moment:
            continue
        # A row that names the same version again (a stage put right) put nothing there.
        if found is None or found.to_version != move.to_version:
            found = move
    return found if found is not None and found.to_version is not None else None


def uncertain(moves: Sequence[Move], moment: datetime) -> Move | None:
    """The row of a move made past us that may have been done by that moment, though it was found later. Pure."""
    for move in moves:
        since = move.facts.get("not_before")
        moved = move.alias == PRODUCTION and move.from_version != move.to_version
        if since and moved and datetime.fromisoformat(since) < moment < move.moved_at:
            return move
    return None


def at(settings: Settings, moment: datetime) -> Move:
    """The row that says what was in production at a moment.

    Raises:
        NotFound: nothing was.
    """
    found = in_production(history(settings), moment)
    if found is None:
        raise NotFound(
            f"Nothing was in production at {moment.isoformat(timespec='seconds')}.",
            hint="'streamflow models history' lists every promotion.",
        )
    return found


def chain(connection: sa.Connection) -> list[Link]:
    """The whole chain, of all models, oldest first."""
    fields = ", ".join(f"{expression} AS f{i}" for i, expression in enumerate(_HASHED))
    rows = connection.execute(
        sa.text(
            f"SELECT promotion_id, previous_hash, hash, {fields} FROM streamflow.promotions ORDER BY promotion_id"
        )
    )
    return [Link(row[0], tuple(row[3:]), row[1], row[2]) for row in rows]


def has_row(connection: sa.Connection, anchor: str) -> bool:
    """Whether the chain still has the row that an anchor names; true for no anchor."""
    number, _, held = anchor.partition(":")
    if not number.isdigit():
        return True
    found = connection.execute(
        sa.text("SELECT hash FROM streamflow.promotions WHERE promotion_id = :number"),
        {"number": int(number)},
    ).scalar()
    return bool(found == held)


def link_hash(link: Link) -> str:
    """SHA-256 over the row's fields and the hash before it, each with its length. Pure."""
    fields = (
        "-" if text is None else f"{len(text.encode())}:{text}" for text in (link.previous_hash, *link.texts)
    )
    return hashlib.sha256(",".join(fields).encode()).hexdigest()


def broken(links: Sequence[Link], anchor: str = "") -> tuple[str, ...]:
    """What is wrong with a chain, a sentence each; empty when it holds. Pure.

    Args:
        anchor: "number:hash" of a row that was once the newest, kept elsewhere; "" when there is none.
    """
    found = []
    before = GENESIS
    for number, link in enumerate(links, start=1):
        if link.promotion_id != number:
            found.append(f"Row {number} is missing; row {link.promotion_id} is in its place.")
            break
        if link.previous_hash != before:
            found.append(f"Row {number} does not follow from row {number - 1}.")
        if link_hash(link) != link.hash:
            found.append(f"Row {number} was changed after it was written.")
        before = link.hash
    number_text, _, held = anchor.partition(":")
    if number_text.isdigit():
        number = int(number_text)
        if number > len(links):
            found.append(f"Rows {len(links) + 1} to {number} are missing at the end.")
        elif links[number - 1].hash != held:
            found.append(f"Row {number} is not the one that MLflow's tag '{ANCHOR_TAG}' names.")
    return tuple(found)


def problems(settings: Settings, anchor: str = "") -> tuple[str, ...]:
    """What is wrong with the chain, a sentence each; empty when it holds."""
    with transaction(settings) as connection:
        return broken(chain(connection), anchor)


def verify(settings: Settings, anchor: str = "") -> str:
    """Verify the chain.

    Returns:
        Hash of the newest row; GENESIS when there is none.

    Raises:
        StreamFlowError: the chain is broken; `details` says where.
    """
    with transaction(settings) as connection:
        links = chain(connection)
    found = broken(links, anchor)
    if found:
        raise StreamFlowError(
            "The audit trail of promotions was tampered with.",
            details=found,
            hint="Compare it with a backup (docs/governance.md), and find out who owns the database. Rows that are lost"
            " for a known reason: streamflow models history --acknowledge WHY",
        )
    return links[-1].hash if links else GENESIS

"""The list of erasures: in PostgreSQL, and beside the backups, where it outlives the database."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.erasure.key import Key
from streamflow.errors import Refused
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
FILE = "erasures.json"
"""Name of the list in the folder of the backups."""


@dataclass(frozen=True)
class Listed:
    """An entity that is erased now.

    Attributes:
        entity_hash: Keyed hash of the entity.
        key_id: Name of the key.
        erasure_id: Id of the record.
        erased_at: When it was erased.
    """

    entity_hash: str
    key_id: str
    erasure_id: str
    erased_at: datetime


def read(connection: sa.Connection) -> list[Listed]:
    """Entities that are erased now."""
    return [Listed(**row._asdict()) for row in connection.execute(sa.text(_SQL["listed"]))]


def find(connection: sa.Connection, key: Key | None, entity: str) -> Listed | None:
    """The entry of an entity; None if it is not erased, or without a key to find it by."""
    wanted = key.hash(entity) if key else ""
    return next((item for item in read(connection) if item.entity_hash == wanted), None)


def usable(listed: Sequence[Listed], key: Key | None) -> Key | None:
    """The key to compare entities with the list by; None if the list is empty. Pure.

    Raises:
        Refused: People were erased, and the key is missing or another one, so that nobody can tell who they are.
    """
    if not listed:
        return None
    if key is None or any(item.key_id != key.id for item in listed):
        what = "is not set" if key is None else "is another than the one that the list was made with"
        raise Refused(
            f"{len(listed)} people were erased, and the key of the list of erasures {what}.",
            hint="Set STREAMFLOW_ERASURE__KEY_FILE to the file with that key, so that they stay erased.",
        )
    return key


def exported(connection: sa.Connection) -> list[dict[str, Any]]:
    """All erasures and withdrawals with every column, oldest first."""
    return [dict(act) for act in connection.execute(sa.text(_SQL["exported"])).scalars()]


def in_file(folder: Path) -> list[dict[str, Any]]:
    """The acts in the list beside the backups; empty without one.

    Raises:
        Refused: The file is unreadable.
    """
    path = folder / FILE
    try:
        acts = json.loads(path.read_text(encoding="utf-8"))
        return [dict(act) for act in acts]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise Refused(
            f"The list of erasures {path} cannot be read ({type(error).__name__}).",
            hint="Put back a copy of it: without it, a restore could bring erased people back.",
        ) from error


def write(folder: Path, acts: Sequence[dict[str, Any]]) -> None:
    """Add acts to the list beside the backups. Only its owner may read it. Nothing is ever taken off it."""
    merged = {act["erasure_id"]: act for act in (*in_file(folder), *acts)}
    if not merged:
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = folder / f"{FILE}.new"
    temporary.unlink(missing_ok=True)
    text = json.dumps(
        sorted(merged.values(), key=lambda act: (act["recorded_at"], act["erasure_id"])), indent=1
    )
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)


def add(connection: sa.Connection, acts: Sequence[dict[str, Any]]) -> int:
    """Add acts of another list to a database's own; return how many were new."""
    return int(connection.execute(sa.text(_SQL["import"]), {"acts": json.dumps(list(acts))}).scalar_one())


def merge(connection: sa.Connection, acts: Sequence[dict[str, Any]]) -> list[Listed]:
    """Add acts to the list of a restored database.

    Returns:
        Whom to remove from it, in the order of their erasures: who is on the list, and whose erasure the database did not
        know. What it has of the latter is from before, even if the erasure was withdrawn since.
    """
    known = {act["erasure_id"] for act in exported(connection)}
    add(connection, acts)
    new = [act for act in acts if act["action"] == "erase" and act["erasure_id"] not in known]
    people = {
        act["entity_hash"]: Listed(
            act["entity_hash"], act["key_id"], act["erasure_id"], datetime.fromisoformat(act["recorded_at"])
        )
        for act in sorted(new, key=lambda act: str(act["recorded_at"]))
    } | {person.entity_hash: person for person in read(connection)}
    return sorted(people.values(), key=lambda person: (person.erased_at, person.entity_hash))


def apply(connection: sa.Connection, key: Key, people: Sequence[Listed]) -> dict[str, int]:
    """Remove people from a restored database; return the removed rows by table."""
    hashes = [person.entity_hash for person in people]
    return dict(
        connection.execute(sa.text(_SQL["erase_listed"]), {**key.pads, "hashes": hashes}).scalar_one()
    )

"""Questions to the ledger of drops and to the quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.errors import NotFound
from streamflow.postgres import statements
from streamflow.times import midnight

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class LedgerEntry:
    """A drop as the ledger knows it."""

    drop_id: str
    as_of: date
    sequence: int
    digest: str
    loaded_at: datetime
    loaded_by: str
    origin: str
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class LedgerFile:
    """A file of a drop as the ledger knows it."""

    table: str
    file: str
    sha256: str
    bytes: int
    lines: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class Quarantined:
    """A record in quarantine."""

    drop_id: str
    file: str
    line: int
    column: str | None
    reason: str
    value: str | None
    raw: str


def entries(connection: sa.Connection, known_at: datetime | None = None) -> list[LedgerEntry]:
    """Drops by as-of, then in the order of loading.

    Args:
        connection: Connection to read on.
        known_at: Leave out drops that were loaded later; default: all drops.
    """
    return [_entry(row) for row in connection.execute(sa.text(_SQL["entries"]), {"known_at": known_at})]


def dates(connection: sa.Connection) -> set[date]:
    """The as-of dates of all drops."""
    return {entry.as_of for entry in entries(connection)}


def newest(connection: sa.Connection, as_of: date) -> LedgerEntry | None:
    """The drop of this as-of that was loaded last."""
    row = connection.execute(sa.text(_SQL["newest_entry"]), {"as_of": midnight(as_of)}).one_or_none()
    return None if row is None else _entry(row)


def entry(connection: sa.Connection, name: str) -> LedgerEntry:
    """The drop called `name`; any beginning of its id that fits one drop will do.

    Raises:
        NotFound: none, or several, are called that.
    """
    found = [item for item in entries(connection) if item.drop_id.startswith(name)]
    exact = [item for item in found if item.drop_id == name]
    if len(exact or found) != 1:
        raise NotFound(
            f"{'Several drops begin' if found else 'There is no drop that begins'} with '{name}'.",
            details=tuple(item.drop_id for item in found),
            hint="See 'streamflow drops list'.",
        )
    return (exact or found)[0]


def _entry(row: Any) -> LedgerEntry:
    values = row._asdict()
    as_of, loaded_at = values.pop("as_of"), values.pop("loaded_at")
    return LedgerEntry(as_of=as_of.astimezone(UTC).date(), loaded_at=loaded_at.astimezone(UTC), **values)


def files(connection: sa.Connection, drop_id: str) -> list[LedgerFile]:
    """The files of a drop, by name."""
    rows = connection.execute(
        sa.text(_SQL["files"]),
        {"drop": drop_id},
    )
    return [LedgerFile(**row._asdict()) for row in rows]


def quarantined(
    connection: sa.Connection, drop_id: str | None = None, table: str | None = None, most: int = 100
) -> list[Quarantined]:
    """Records in quarantine, the newest drop first, then in the order of the file."""
    rows = connection.execute(
        sa.text(_SQL["quarantined"]),
        {"drop": drop_id, "table": table, "most": most},
    )
    return [Quarantined(**row._asdict()) for row in rows]

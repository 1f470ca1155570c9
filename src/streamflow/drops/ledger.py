"""Query the ledger of drops and the quarantine."""

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
    """A drop, as recorded in the ledger.

    Attributes:
        drop_id: Date, sequence number and start of the fingerprint.
        as_of: Date that the drop describes.
        sequence: Number of the drop among those of its date; a correction gets the next one.
        digest: Fingerprint of the drop's content.
        loaded_at: Load time by the database's clock; all rows of the drop share it.
        loaded_by: User or job that loaded the drop.
        origin: Folder that the drop was loaded from.
        accepted: Number of rows stored in source tables.
        quarantined: Number of rejected rows.
        login: Login that loaded the drop, as PostgreSQL authenticated it; None for drops from before it was recorded.
    """

    drop_id: str
    as_of: date
    sequence: int
    digest: str
    loaded_at: datetime
    loaded_by: str
    origin: str
    accepted: int
    quarantined: int
    login: str | None = None


@dataclass(frozen=True)
class LedgerFile:
    """A file of a drop, as recorded in the ledger.

    Attributes:
        table: Source table of the file.
        file: File name.
        sha256: Hex digest of the file's bytes.
        bytes: Size of the file.
        lines: Number of records, header excluded: `accepted` + `quarantined`.
        accepted: Number of rows stored in the source table.
        quarantined: Number of rejected rows.
    """

    table: str
    file: str
    sha256: str
    bytes: int
    lines: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class Quarantined:
    """A quarantined record.

    Attributes:
        drop_id: Drop that contained the record.
        file: Name of the file.
        line: Line of the file on which the record begins.
        column: The first invalid column; None when the whole record is malformed.
        reason: Why the record was rejected.
        value: Original text of the cell.
        raw: Original text of the record.
    """

    drop_id: str
    file: str
    line: int
    column: str | None
    reason: str
    value: str | None
    raw: str


def entries(connection: sa.Connection, known_at: datetime | None = None) -> list[LedgerEntry]:
    """List drops by as-of, then in load order.

    Args:
        connection: An open connection.
        known_at: Omit drops loaded after this time; default: list all drops.
    """
    return [_entry(row) for row in connection.execute(sa.text(_SQL["entries"]), {"known_at": known_at})]


def dates(connection: sa.Connection) -> set[date]:
    """Return the as-of dates of all drops."""
    return {entry.as_of for entry in entries(connection)}


def newest(connection: sa.Connection, as_of: date) -> LedgerEntry | None:
    """Return the most recently loaded drop of an as-of, or None."""
    row = connection.execute(sa.text(_SQL["newest_entry"]), {"as_of": midnight(as_of)}).one_or_none()
    return None if row is None else _entry(row)


def entry(connection: sa.Connection, name: str) -> LedgerEntry:
    """Look up a drop by its id or by an unambiguous prefix of it.

    Raises:
        NotFound: No drop, or more than one, has this prefix.
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
    """List the files of a drop by name."""
    rows = connection.execute(
        sa.text(_SQL["files"]),
        {"drop": drop_id},
    )
    return [LedgerFile(**row._asdict()) for row in rows]


def quarantined(
    connection: sa.Connection, drop_id: str | None = None, table: str | None = None, most: int = 100
) -> list[Quarantined]:
    """List quarantined records, newest drop first, then in file order.

    Args:
        connection: An open connection.
        drop_id: List this drop only.
        table: List this source table only.
        most: Largest number of records to return.
    """
    rows = connection.execute(
        sa.text(_SQL["quarantined"]),
        {"drop": drop_id, "table": table, "most": most},
    )
    return [Quarantined(**row._asdict()) for row in rows]

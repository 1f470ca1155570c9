"""Which drops have rows in the lake, by the ledger in PostgreSQL; refuse what would read only half of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from pyarrow import fs

from streamflow.errors import Refused
from streamflow.lake import write
from streamflow.lake.place import Place, failures
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_FORGOTTEN = "_forgotten_before"
_DATE_BYTES = 64


@dataclass(frozen=True)
class Drop:
    """A drop in the ledger, with the stamps that its rows have.

    Attributes:
        as_of: Date that the rows are about.
        number: Number of the drop, by which its folders are named.
        loaded_at: Load time.
        drop_id: Id of the drop.
        rows: Rows of the table that is asked about.
    """

    as_of: datetime
    number: int
    loaded_at: datetime
    drop_id: str
    rows: int


def drops(
    connection: sa.Connection, place: Place, table: str, known_at: datetime | None = None
) -> list[Drop]:
    """The drops whose rows of a table are in the lake, by as-of, then in load order. No others count.

    Months that were dropped are left out.

    Args:
        connection: A connection.
        place: The lake.
        table: Name of the source table.
        known_at: Omit drops loaded after this time; default: list all drops.

    Raises:
        Refused: The rows are in PostgreSQL.
        DependencyDown: The lake does not answer.
    """
    refuse_rows_in_postgresql(connection)
    before = forgotten_before(place)
    rows = connection.execute(sa.text(_SQL["drops"]), {"table": table, "known_at": known_at})
    found = [
        Drop(row.as_of.astimezone(UTC), row.number, row.loaded_at.astimezone(UTC), row.drop_id, row.rows)
        for row in rows
    ]
    return [of for of in found if before is None or of.as_of >= before]


def forgotten_before(place: Place) -> datetime | None:
    """Before which as-of months were dropped from the lake; None if none was."""
    path = f"{place.root}/{_FORGOTTEN}"
    with failures(place):
        if place.store.get_file_info(path).type != fs.FileType.File:
            return None
        with place.store.open_input_stream(path) as stream:
            return datetime.fromisoformat(stream.read(_DATE_BYTES).decode())


def forget_before(place: Place, before: datetime) -> None:
    """Record that months before an as-of are dropped: from now on nobody looks for their files."""
    former = forgotten_before(place)
    if former is None or former < before:
        with failures(place):
            write.text(place, f"{place.root}/{_FORGOTTEN}", before.astimezone(UTC).isoformat())


def in_lake(connection: sa.Connection) -> bool:
    """Whether the rows of the ledger's drops are in the lake."""
    return not _in_postgresql(connection) and bool(
        connection.execute(sa.text(_SQL["has_drops"])).scalar_one()
    )


def _in_postgresql(connection: sa.Connection) -> bool:
    return bool(connection.execute(sa.text(_SQL["in_postgresql"])).scalar_one())


def refuse_rows_in_lake(connection: sa.Connection) -> None:
    """Refuse to read or write rows in PostgreSQL if those of the ledger's drops are in the lake.

    Raises:
        Refused: They are.
    """
    if in_lake(connection):
        raise Refused(
            "The drops in the ledger were ingested with 'engine: spark': their rows are in the lake, and this works with"
            " rows in PostgreSQL alone.",
            hint="docs/how-to.md says what works with the lake; everything else needs 'engine: postgresql'.",
        )


def refuse_rows_in_postgresql(connection: sa.Connection) -> None:
    """Refuse to read or write rows in the lake if those of the ledger's drops are in PostgreSQL.

    Raises:
        Refused: They are.
    """
    if _in_postgresql(connection):
        raise Refused(
            "The drops in the ledger were ingested with 'engine: postgresql': their rows are not in the lake.",
            hint="Set STREAMFLOW_ENGINE=postgresql, or ingest all drops into a new database with 'engine: spark'.",
        )

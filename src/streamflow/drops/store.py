"""Append staged rows to the ledger, the store of rows and the quarantine, all of the same drop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.drops import stage
from streamflow.drops.rows import Rows
from streamflow.errors import Refused
from streamflow.postgres import clock, drop_numbers, locks, statements
from streamflow.postgres.names import PLATFORM
from streamflow.times import midnight

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Drop:
    """A drop about to be stored. Each field is a column of the ledger; see `ledger.LedgerEntry`."""

    drop_id: str
    as_of: date
    sequence: int
    digest: str
    loaded_by: str
    origin: str

    @property
    def number(self) -> int:
        """Number of the drop in the rows of source tables."""
        return drop_numbers.of(self.as_of, self.sequence)


def store(
    connection: sa.Connection,
    rows: Rows,
    drop: Drop,
    staged: list[stage.StagedFile],
    step: Callable[[str], None],
) -> datetime:
    """Store a staged drop.

    Args:
        connection: Connection that holds the staged rows.
        rows: Where to store the rows.
        drop: Ledger entry of the drop.
        staged: Staged files of the drop.
        step: Called with a description of each step, for the progress display.

    Returns:
        The loaded-at of the drop, which all its rows share.

    Raises:
        Refused: There are as many drops of its date as there can be.
    """
    if drop.sequence > drop_numbers.MOST_DROPS:
        raise Refused(
            f"There are {drop_numbers.MOST_DROPS} drops as of {drop.as_of}, and there can be no more of one date.",
            hint="Correct the month in the next drop.",
        )
    loaded_at = _loaded_at(connection)
    connection.execute(
        sa.text(_SQL["add_drop"]),
        {
            **asdict(drop),
            "as_of": midnight(drop.as_of),
            "loaded_at": loaded_at,
            "accepted": sum(item.accepted for item in staged),
            "quarantined": sum(item.quarantined for item in staged),
        },
    )
    for item in staged:
        step(f"storing {item.file.table.name}")
        _append_rows(connection, rows, drop, item)
        _append_file(connection, drop, item)
    connection.execute(
        sa.text(
            f"INSERT INTO {PLATFORM}.quarantine"
            " (drop_id, table_name, file, line, column_name, reason, value, raw)"
            " SELECT :drop_id, table_name, file, line, column_name, reason, value, raw"
            f" FROM {stage.QUARANTINE} ORDER BY table_name, line"
        ),
        {"drop_id": drop.drop_id},
    )
    return loaded_at


def _loaded_at(connection: sa.Connection) -> datetime:
    """Stamp the drop. No other drop gets a loaded-at until this transaction ends.

    The lock also keeps `clock.known_now` from returning a known-at in the meantime: rows dated before it
    would become visible only later, and a repeated run would read more than the first one.
    """
    locks.wait(connection, locks.LOADING)
    return clock.stamp(connection)


def _append_rows(connection: sa.Connection, rows: Rows, drop: Drop, item: stage.StagedFile) -> None:
    stored = rows.append(connection, drop.number, item)
    # A record that is neither stored nor quarantined would be lost without a trace.
    if stored != item.accepted or item.accepted + item.quarantined != item.lines:
        raise AssertionError(
            f"{item.file.name}: {item.lines} records, {item.accepted} accepted,"
            f" {item.quarantined} quarantined, {stored} stored"
        )


def _append_file(connection: sa.Connection, drop: Drop, item: stage.StagedFile) -> None:
    connection.execute(
        sa.text(_SQL["add_file"]),
        {
            "drop_id": drop.drop_id,
            "table": item.file.table.name,
            "file": item.file.name,
            "sha256": item.file.sha256,
            "bytes": item.file.size,
            "lines": item.lines,
            "accepted": item.accepted,
            "quarantined": item.quarantined,
        },
    )

"""The clock that stamps what is loaded, known, materialized and run: each stamp is later than all before it.

It follows the database's clock while that goes forward, and goes on from the newest stamp after the clock was set
back. So whatever was loaded before a known-at was taken is visible at it, and whatever is loaded afterwards is not,
however the clock is set meanwhile. A stamp that lies more than a day ahead of everything that vouches for it is
refused; migration 0007 says what does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from streamflow.errors import Refused, UsageError
from streamflow.postgres import locks, statements

_SQL = statements.load(Path(__file__).with_name("clock.sql"))
_HINT = "Correct the clock and run this again. If the time is right, say so: streamflow db clock --accept WHY"


@dataclass(frozen=True)
class Reading:
    """What the clocks say.

    Attributes:
        server: Time of the database's server.
        caller: Time of this machine.
        newest: The newest stamp.
        next: The stamp that would be given now.
        vouched: The latest time that another clock, the newest stamp or a person vouches for.
        refused: Whether the next stamp is refused, because it lies more than a day after `vouched`.
    """

    server: datetime
    caller: datetime
    newest: datetime
    next: datetime
    vouched: datetime
    refused: bool

    @property
    def ahead(self) -> timedelta:
        """How far the newest stamp is ahead of the database's clock; zero if it is not."""
        return max(self.newest - self.server, timedelta(0))


def machine() -> datetime:
    """Return the time of this machine in UTC. It vouches for stamps and is never one."""
    return datetime.now(UTC)


def now(connection: sa.Connection) -> datetime:
    """Return the time of the database's server in UTC. It may go back: do not compare it with stamps."""
    # Not now(), which is the start of the transaction.
    moment: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)


def read(connection: sa.Connection) -> Reading:
    """Read all clocks without giving a stamp."""
    caller = machine()
    row = connection.execute(sa.text(_SQL["read"]), {"caller": caller}).one()
    return Reading(
        server=row.server.astimezone(UTC),
        caller=caller,
        newest=row.newest.astimezone(UTC),
        next=row.next.astimezone(UTC),
        vouched=row.vouched.astimezone(UTC),
        refused=row.refused,
    )


def stamp(connection: sa.Connection) -> datetime:
    """Return the next stamp: later than every stamp before it, and the time of the database's server if possible.

    Raises:
        Refused: The stamp lies more than a day ahead of everything that vouches for it.
    """
    moment = connection.execute(sa.text(_SQL["next_stamp"]), {"caller": machine()}).scalar_one()
    if moment is None:
        raise refusal(read(connection))
    given: datetime = moment
    return given.astimezone(UTC)


def today(connection: sa.Connection) -> date:
    """Return the date of the next stamp (UTC), without giving that stamp.

    Raises:
        Refused: The stamp would be refused.
    """
    reading = read(connection)
    if reading.refused:
        raise refusal(reading)
    return reading.next.date()


def accept(connection: sa.Connection, why: str) -> datetime:
    """Vouch for the next stamp, so that it and those that follow it are given.

    Args:
        connection: Connection of the owner of the platform's tables.
        why: Reason, recorded with the login.

    Returns:
        The time vouched for.
    """
    moment: datetime = connection.execute(sa.text(_SQL["accept"]), {"why": why}).scalar_one()
    return moment.astimezone(UTC)


def ahead(connection: sa.Connection) -> list[tuple[str, datetime]]:
    """List the id and the loaded-at of drops that are dated in the future of the database's clock, earliest first."""
    rows = connection.execute(sa.text(_SQL["ahead"]))
    return [(row.drop_id, row.loaded_at.astimezone(UTC)) for row in rows]


def known_now(connection: sa.Connection) -> datetime:
    """Return the default known-at: the next stamp, taken after waiting for any uncommitted drop.

    Without waiting, a drop could already have an earlier loaded-at and not be committed yet. A later run with
    the same known-at would see it, and this one would not.

    Raises:
        Refused: The stamp is refused; see `stamp`.
    """
    locks.wait_shared(connection, locks.LOADING)
    return stamp(connection)


def known_until(connection: sa.Connection, known_at: datetime | None) -> datetime:
    """Return the known-at of a run: the given time, or the default from `known_now`.

    Raises:
        UsageError: The time is in the future; a later run with the same known-at might see more drops.
        Refused: The stamp of the present is refused; see `stamp`.
    """
    present = known_now(connection)
    return _until(known_at, present) or present


def known_without_stamp(connection: sa.Connection, known_at: datetime | None) -> datetime:
    """Return the known-at of somebody who may not take a stamp: the given time, or by default the newest stamp.

    Whatever is loaded later has a later stamp, so the default can be repeated, too.

    Raises:
        UsageError: The time is in the future.
    """
    locks.wait_shared(connection, locks.LOADING)
    reading = read(connection)
    return _until(known_at, reading.next) or reading.newest


def _until(known_at: datetime | None, present: datetime) -> datetime | None:
    if known_at is not None and known_at > present:
        raise UsageError(
            f"{known_at.isoformat(timespec='seconds')} is in the future: nobody knows yet what will be known then.",
            hint="Leave the known-at out to take what is known now.",
        )
    return known_at


def refusal(reading: Reading) -> Refused:
    """Return the error that refuses a stamp. Pure."""
    return Refused(
        f"The next stamp, {reading.next:%Y-%m-%d %H:%M:%S}, lies more than a day ahead of what vouches for it.",
        details=(
            f"The database's clock says {reading.server:%Y-%m-%d %H:%M:%S} UTC.",
            f"The clock of this machine says {reading.caller:%Y-%m-%d %H:%M:%S} UTC.",
            f"The newest stamp is {reading.newest:%Y-%m-%d %H:%M:%S} UTC.",
        ),
        hint=_HINT,
    )

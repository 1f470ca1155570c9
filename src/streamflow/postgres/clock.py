"""The database's clock, which dates what is known."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from streamflow.errors import UsageError
from streamflow.postgres import locks


def now(connection: sa.Connection) -> datetime:
    """The present time of the database, in UTC."""
    moment: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)


def known_now(connection: sa.Connection) -> datetime:
    """The present time of the database, once every drop that has its loaded-at is committed: the default known-at.

    A drop that is dated but not committed would be visible at this known-at to a later run, and not to this one.
    """
    locks.wait_shared(connection, locks.LOADING)
    return now(connection)


def known_until(connection: sa.Connection, known_at: datetime | None) -> datetime:
    """The known-at of a run: the given one, or the present time.

    Raises:
        UsageError: It is in the future, so a later run with it might see more.
    """
    present = known_now(connection)
    if known_at is not None and known_at > present:
        raise UsageError(
            f"{known_at.isoformat(timespec='seconds')} is in the future: nobody knows yet what will be known then.",
            hint="Leave --known-at out to train on what is known now.",
        )
    return known_at or present

"""The database's clock. All loaded-at and known-at times come from it."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from streamflow.errors import UsageError
from streamflow.postgres import locks


def now(connection: sa.Connection) -> datetime:
    """Return the database's current time in UTC."""
    # Not now(), which is the start of the transaction.
    moment: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)


def known_now(connection: sa.Connection) -> datetime:
    """Return the default known-at: the database's current time, after waiting for any uncommitted drop.

    Without waiting, a drop could already have an earlier loaded-at and not be committed yet. A later run with
    the same known-at would see it, and this one would not.
    """
    locks.wait_shared(connection, locks.LOADING)
    return now(connection)


def known_until(connection: sa.Connection, known_at: datetime | None) -> datetime:
    """Return the known-at of a run: the given time, or the default from `known_now`.

    Raises:
        UsageError: The time is in the future; a later run with the same known-at might see more drops.
    """
    present = known_now(connection)
    if known_at is not None and known_at > present:
        raise UsageError(
            f"{known_at.isoformat(timespec='seconds')} is in the future: nobody knows yet what will be known then.",
            hint="Leave --known-at out to train on what is known now.",
        )
    return known_at or present

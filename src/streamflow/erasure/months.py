"""Drop whole old months from PostgreSQL, and read which are gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.postgres import catalog, statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import PLATFORM
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class Forgotten:
    """Months that are gone.

    Attributes:
        before: Rows of an earlier as-of are gone.
        recorded_at: When rows were removed last.
    """

    before: datetime
    recorded_at: datetime

    @property
    def words(self) -> str:
        """What is gone, as a clause."""
        return f"months before {self.before:%Y-%m} were dropped by retention.months"


def forget(database: DatabaseSettings, keep: int) -> tuple[datetime, dict[str, int]] | None:
    """Remove the rows of all months but the newest ones, and record it, in one transaction.

    Returns:
        The date before which rows are gone, and the removed rows by table; None before the first drop.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(database) as connection:
        row = connection.execute(sa.text(_SQL["forget_months"]), {"keep": keep}).one()
    return None if row.before is None else (row.before.astimezone(UTC), dict(row.counts))


def forgotten(connection: sa.Connection) -> Forgotten | None:
    """Which months are gone; None if none is."""
    if not catalog.exists(connection, f"{PLATFORM}.forgotten_months"):
        return None
    row = connection.execute(sa.text(_SQL["forgotten_months"])).one()
    if row.before is None:
        return None
    return Forgotten(row.before.astimezone(UTC), row.recorded_at.astimezone(UTC))

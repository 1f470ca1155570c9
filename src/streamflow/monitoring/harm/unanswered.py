"""Read the version in production, and the verdict that it does harm which no training has answered."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from streamflow.monitoring.harm.retrain import Harm, InProduction
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


def production(connection: sa.Connection, model: str) -> InProduction | None:
    """Read the version in production; None without one."""
    row = connection.execute(sa.text(_SQL["in_production"]), {"model": model}).first()
    if row is None:
        return None
    harm = connection.execute(sa.text(_SQL["unanswered"]), {"model": model, "version": row.version}).first()
    return InProduction(row.version, row.trained_at, row.now, None if harm is None else Harm(**harm._mapping))

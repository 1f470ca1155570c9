"""The quality of each month, after judging what is new."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from streamflow.monitoring.quality import read, record
from streamflow.monitoring.quality.judge import judge
from streamflow.monitoring.quality.shown import MonthShown, shown
from streamflow.postgres.engine import transaction
from streamflow.settings import DatabaseSettings, MonitoringSettings


def by_month(
    database: DatabaseSettings,
    model: str,
    repo: Path,
    settings: MonitoringSettings,
    as_of: date | None = None,
    lake: str = "",
) -> list[MonthShown]:
    """Judge the months that are new, if this login may record figures, and return all of them, oldest first.

    Args:
        database: How to connect to PostgreSQL.
        model: Registered model.
        repo: Folder of the feature repo.
        settings: What predictions are worth.
        as_of: This month alone; a month without a drop is shown as one.
        lake: URL of the lake that has the rows; "" reads them in PostgreSQL.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(database) as connection:
        may = record.may_judge(connection)
    if may:
        judge(database, model, repo, settings, as_of, lake)
    with transaction(database) as connection:
        return shown(record.newest(connection, model), read.dates(connection), as_of)

"""Recipe of the job `monitor`: check that all data is present and fresh, then judge what is new."""

from __future__ import annotations

import sqlalchemy as sa

from streamflow import log
from streamflow.errors import DependencyDown, NotYet, Refused
from streamflow.lake import ledger
from streamflow.monitoring import freshness, verdicts
from streamflow.monitoring.report.keep import keep
from streamflow.postgres import job_results
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import MonitorResult
from streamflow.settings import Settings


def monitor(settings: Settings) -> MonitorResult:
    """Compare source and online tables with the newest drop; judge the months that are new; keep the report in MLflow.

    Raises:
        NotYet: No drop has been ingested.
        Refused: Something is missing or behind; `details` lists each.
    """
    with transaction(settings.database) as connection:
        # One snapshot, so that a drop that is ingested meanwhile does not look like a difference.
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        if not settings.rows_in_lake:
            ledger.refuse_rows_in_lake(connection)
        found = freshness.read(connection)
        last = job_results.newest(connection, MonitorResult)
    if found.newest_drop is None:
        raise NotYet("No drop has been ingested.", hint="Put one into the inbox and run the job 'ingest'.")
    problems = freshness.problems(found)
    if problems:
        raise Refused(
            "The data does not hold together.",
            details=tuple(problems),
            hint="Run the jobs 'ingest' and 'materialize', and look at their logs.",
        )
    judged = verdicts.judge(settings.backends, settings.monitoring)
    report = last.report if last else ""
    try:
        report = keep(settings.database, settings.mlflow, settings.feast.repo, report)
    except DependencyDown as error:
        # The verdicts are recorded, and MLflow has alerts of its own.
        log.get(__name__).warning("the next run keeps the report", **log.describe(error))
    return MonitorResult(
        newest_drop=found.newest_drop.date().isoformat(),
        tables={name: item.rows for name, item in found.tables.items()},
        views={name: item.rows for name, item in found.views.items()},
        quality=judged.quality,
        harm_id=judged.harm_id,
        drift=judged.drift,
        report=report,
    )

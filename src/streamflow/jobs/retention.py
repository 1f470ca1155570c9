"""Recipe of the job `retention`: drop the months that are older than `retention.months`."""

from __future__ import annotations

from streamflow.errors import NotYet
from streamflow.forget import months
from streamflow.postgres.erasure_results import RetentionResult
from streamflow.postgres.job_results import Idle
from streamflow.settings import Settings


def retention(settings: Settings) -> RetentionResult | Idle:
    """Drop whole old months; see `forget.months`.

    Raises:
        NotYet: No drop has been ingested.
        Busy: A job that could bring the rows back is running.
        DependencyDown: PostgreSQL does not answer, or the lake or MLflow does not and something is left to do.
    """
    keep = settings.retention.months
    if keep is None:
        return Idle("retention.months is not set")
    done = months.forget(settings.database, settings.mlflow, keep, settings.rows_in_lake)
    if done is None:
        raise NotYet("No drop has been ingested.", hint="Put one into the inbox and run the job 'ingest'.")
    return RetentionResult(before=done.before, rows=done.rows, runs=len(done.runs))

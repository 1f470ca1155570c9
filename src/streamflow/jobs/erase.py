"""Recipe of the job `erase`: erase the person that a mounted Secret names, or complete erasures that were cut short."""

from __future__ import annotations

from functools import partial

from streamflow import log
from streamflow.backup import object_store
from streamflow.errors import DependencyDown
from streamflow.forget import asked_for, person
from streamflow.postgres.erasure_results import EraseResult
from streamflow.settings import Settings


def erase(settings: Settings) -> EraseResult:
    """Erase a person, or complete erasures that were cut short; see `forget.person`. Names nobody in its log.

    Raises:
        UsageError: The key of the list of erasures is not set, or the order is none.
        Busy: A job that could bring the rows back is running.
        DependencyDown: PostgreSQL does not answer, or MLflow does not and something is left to do.
    """
    where = places(settings)
    order = asked_for.read(settings.erasure.request_file)
    outcomes = [person.erase(where, order.entity, order.asked)] if order else person.complete(where)
    if left := tuple(item for outcome in outcomes for item in outcome.left):
        raise DependencyDown(
            "The erasure is not complete.",
            details=left,
            hint="Run the job 'erase' again; it continues where it stopped.",
        )
    rows: dict[str, int] = {}
    for outcome in outcomes:
        rows |= {name: rows.get(name, 0) + count for name, count in outcome.rows.items()}
        for note in outcome.notes:
            log.get(__name__).warning("erased, with a note", note=note)
    return EraseResult(
        erasures=tuple(outcome.erasure_id for outcome in outcomes),
        rows=rows,
        runs=sum(len(outcome.runs) for outcome in outcomes),
        pinned=tuple(sorted({run for outcome in outcomes for run in outcome.pinned})),
    )


def places(settings: Settings) -> person.Places:
    """Where a person's data are: in PostgreSQL, the lake, MLflow, and on the list beside the backups and its copies."""
    return person.places(
        settings.database,
        settings.mlflow,
        settings.backup,
        settings.erasure,
        partial(object_store.copy_list, settings.backup),
        settings.rows_in_lake,
    )

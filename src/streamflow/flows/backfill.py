"""The flow `streamflow-backfill`: the months of a range, one after the other."""

from __future__ import annotations

import calendar
from datetime import date

from prefect import flow, runtime

from streamflow import settings as settings_module
from streamflow.errors import UsageError
from streamflow.flows import alive
from streamflow.flows.month import month

_MOST_MONTHS = 240


@flow(name="streamflow-backfill", flow_run_name="backfill {first} to {last}", persist_result=False)
def backfill(first: date, last: date) -> None:
    """Conduct each month from the first to the last as a run of `streamflow-month`, without waiting for approvals.

    Args:
        first: First month, as any of its dates.
        last: Last month, as any of its dates.

    Raises:
        UsageError: The last month is before the first, or there are more than 240.
    """
    with alive.marked(settings_module.load().home, str(runtime.flow_run.id)):
        for as_of in ends_of_months(first, last):
            month(as_of=as_of, ask=False)


def ends_of_months(first: date, last: date) -> list[date]:
    """Last day of each month from that of `first` to that of `last`. Pure.

    Raises:
        UsageError: The last month is before the first, or there are more than 240.
    """
    start, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    if end < start:
        raise UsageError(f"The last month, {last:%Y-%m}, is before the first, {first:%Y-%m}.", hint="Exchange them.")
    if end - start >= _MOST_MONTHS:
        raise UsageError(f"A backfill has at most {_MOST_MONTHS} months.", hint="Run several, one after the other.")
    months = [divmod(number, 12) for number in range(start, end + 1)]
    return [date(year, number + 1, calendar.monthrange(year, number + 1)[1]) for year, number in months]

"""The flow `streamflow-backfill`: the months of a range, one after the other."""

from __future__ import annotations

from datetime import date

from prefect import flow, runtime

from streamflow import settings as settings_module
from streamflow.flows import alive
from streamflow.flows.month import month
from streamflow.flows.months import ends_of_months


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

"""Flow runs whose process is gone, because it, the conductor or its node died: they go on, and none stays Running."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Crashed, Scheduled

from streamflow import log

_OPEN = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
_MOST_STARTS = 5
"""A run that crashed so often is left as it is: something about it ends its processes."""
_CRASHED_SECONDS = 86400.0
"""A run that crashed longer ago is left as it is: somebody has seen it."""
_WHY = "Its process ended before it did; the run goes on in a new one."
SETTLED_SECONDS = 30.0
"""A run that began less than this ago may still start its process."""


async def take_over(
    client: PrefectClient, deployments: Collection[object], has_process: Callable[[str], bool]
) -> list[str]:
    """Have runs of these deployments that lost their process start again; cancel those that were to be cancelled.

    Args:
        client: Client of Prefect's server.
        deployments: Ids of the deployments.
        has_process: Whether a flow run has a process, by its id.

    Returns:
        The names of the runs.
    """
    runs = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[*_OPEN, StateType.CRASHED]))
        ),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=list(deployments))),
    )
    now = datetime.now(UTC)
    lost = [run for run in runs if is_lost(run, now) and not has_process(str(run.id))]
    for run in lost:
        await _close_parts(client, run)
        cancelling = run.state is not None and run.state.type == StateType.CANCELLING
        state = Cancelled(message="Its process ended.") if cancelling else Scheduled(message=_WHY)
        await client.set_flow_run_state(run.id, state, force=True)
        log.get(__name__).warning("a flow run lost its process", flow_run=run.name, state=state.name)
    return [run.name for run in lost]


async def drop_missed(client: PrefectClient, deployments: Collection[object]) -> list[str]:
    """Cancel the scheduled runs that were missed while nobody conducted, but for the newest, which catches up.

    Returns:
        The names of the cancelled runs.
    """
    names = []
    for deployment in deployments:
        runs = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
            ),
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        )
        for run in missed(runs, datetime.now(UTC)):
            why = "Missed; a newer run does what was due."
            await client.set_flow_run_state(run.id, Cancelled(message=why), force=True)
            names.append(run.name)
    return names


def missed(runs: Iterable[FlowRun], now: datetime) -> list[FlowRun]:
    """Runs that the schedule made and whose time has passed, but for the newest. Pure."""
    passed = [
        run
        for run in runs
        if run.auto_scheduled and run.expected_start_time and run.expected_start_time < now
    ]
    return sorted(passed, key=lambda run: run.expected_start_time)[:-1]


async def _close_parts(client: PrefectClient, run: FlowRun) -> None:
    """Close the runs of flows and tasks that belong to this one; a new process makes new ones."""
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
    inner = await client.read_flow_runs(flow_run_filter=below)
    for part in inner:
        if part.state is not None and part.state.type in _OPEN:
            await client.set_flow_run_state(part.id, Crashed(message=_WHY), force=True)
    tasks = await client.read_task_runs(
        task_run_filter=TaskRunFilter(
            flow_run_id=TaskRunFilterFlowRunId(any_=[run.id, *(part.id for part in inner)]),
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=_OPEN)),
        )
    )
    for task in tasks:
        await client.set_task_run_state(task.id, Crashed(message=_WHY), force=True)


def is_lost(run: FlowRun, now: datetime) -> bool:
    """Whether a run is to be taken over if it has no process. Pure."""
    if run.state is None:
        return False
    ago = now - run.state.timestamp
    if run.state.type == StateType.CRASHED:
        return bool(ago < timedelta(seconds=_CRASHED_SECONDS) and run.run_count < _MOST_STARTS)
    return bool(ago > timedelta(seconds=SETTLED_SECONDS))

"""Flow runs whose process is gone, because it, the conductor or its node died: they go on, and none stays Running."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

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
from streamflow.flows import recovery

_OPEN = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
_WHY = "Its process ended before it did; the run goes on in a new one."


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
    lost = [run for run in runs if _is_lost(run, now) and not has_process(str(run.id))]
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
        for run in recovery.missed(runs, datetime.now(UTC)):
            why = "Missed; a newer run does what was due."
            await client.set_flow_run_state(run.id, Cancelled(message=why), force=True)
            names.append(run.name)
    return names


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


def _is_lost(run: FlowRun, now: datetime) -> bool:
    return run.state is not None and recovery.is_lost(run.state.type, run.state.timestamp, run.run_count, now)

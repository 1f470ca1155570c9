"""Ask the conductor for a run of a flow, and wait for its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from streamflow.errors import DependencyDown, NotFound, StreamFlowError
from streamflow.flows.serve import reachable

_NOT_STARTED = (StateType.SCHEDULED, StateType.PENDING)
_POLL_SECONDS = 1.0
_START_SECONDS = 60.0


def run(
    deployment: str,
    parameters: dict[str, Any],
    pages: str,
    timeout_seconds: float,
    tell: Callable[[str], None],
) -> str:
    """Run a flow with the conductor; return the name of the state that the run reached.

    Args:
        deployment: `FLOW/DEPLOYMENT`.
        parameters: Parameters of the flow.
        pages: Address of Prefect's pages.
        timeout_seconds: Longest time to wait for the end.
        tell: Called with each line to print.

    Raises:
        DependencyDown: Prefect's server, or the conductor, does not answer.
        NotFound: No conductor has registered the flow.
        StreamFlowError: The run failed, or has not ended in time.
    """
    try:
        return asyncio.run(_run(deployment, parameters, pages, timeout_seconds, tell))
    except httpx.HTTPError as error:
        raise DependencyDown(
            f"Prefect's server does not answer any more: {type(error).__name__}.",
            hint="A run that was started goes on once it does.",
        ) from error


async def _run(
    deployment: str,
    parameters: dict[str, Any],
    pages: str,
    timeout_seconds: float,
    tell: Callable[[str], None],
) -> str:
    await reachable()
    async with get_client() as client:
        try:
            found = await client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            raise NotFound(
                f"Prefect knows no deployment '{deployment}'.",
                hint="Start the conductor: 'streamflow flows serve'.",
            ) from None
        made = await client.create_flow_run_from_deployment(found.id, parameters=parameters)
        tell(f"Flow run {pages}/runs/flow-run/{made.id}")
        return await _followed(client, made, timeout_seconds, tell)


def waited_in(state: State) -> float:
    """Seconds since a run reached a state."""
    return float((datetime.now(UTC) - state.timestamp).total_seconds())


async def _followed(
    client: PrefectClient, made: FlowRun, timeout_seconds: float, tell: Callable[[str], None]
) -> str:
    began, shown = time.monotonic(), ""
    while True:
        state = (await client.read_flow_run(made.id)).state
        if state is not None and (state.name or "") != shown:
            shown = state.name or ""
            tell(shown)
        waited = time.monotonic() - began
        if state is not None and state.is_crashed() and waited_in(state) < _START_SECONDS:
            # The conductor starts it again.
            pass
        elif state is not None and (state.is_final() or state.is_paused()):
            if state.is_completed() or state.is_paused():
                return shown
            raise StreamFlowError(
                f"The flow run ended as {shown}: {state.message}", hint="Its page shows the log."
            )
        if waited > _START_SECONDS and (state is None or state.type in _NOT_STARTED):
            raise DependencyDown(
                f"The flow run was not started within {_START_SECONDS:.0f} s.",
                hint="Does the conductor run ('streamflow flows serve')? It starts the run once it does.",
            )
        if waited > timeout_seconds:
            raise StreamFlowError(
                f"The flow run has not ended after {timeout_seconds:.0f} s.",
                hint="It goes on; look at its page.",
            )
        await asyncio.sleep(_POLL_SECONDS)

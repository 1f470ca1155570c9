"""The conductor: starts the flow runs that are due, or asked for, each as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import httpx
from prefect import get_client
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runner import Runner
from prefect.schedules import Cron

from streamflow import log
from streamflow.errors import DependencyDown
from streamflow.flows import alive, automations, interrupted, metrics
from streamflow.flows.backfill import backfill
from streamflow.flows.month import month
from streamflow.settings import PrefectSettings

DEPLOYMENT = "streamflow"
MONTH, BACKFILL = f"{month.name}/{DEPLOYMENT}", f"{backfill.name}/{DEPLOYMENT}"
_LOOK_SECONDS = 15.0
_AGAIN_SECONDS = 5.0
_AT_ONCE = 2
"""Runs at once: while one month is conducted, another one waits for its jobs."""


def serve(home: Path, prefect: PrefectSettings) -> None:
    """Register the flows with Prefect's server and conduct their runs, until SIGTERM.

    While the server is away, wait for it.
    """
    metrics.serve(prefect.status_port)
    asyncio.run(_serve(home, prefect))


async def _serve(home: Path, prefect: PrefectSettings) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    while not ended.is_set():
        conducting = asyncio.ensure_future(_conduct(home, prefect))
        waiting = asyncio.ensure_future(ended.wait())
        await asyncio.wait({conducting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if conducting.done():
            error = conducting.exception()
            log.get(__name__).warning("conducting again", error=type(error).__name__ if error else "ended")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _AGAIN_SECONDS)
        else:
            conducting.cancel()
            await asyncio.gather(conducting, return_exceptions=True)


async def _conduct(home: Path, prefect: PrefectSettings) -> None:
    await reachable()
    runner = Runner(
        name=DEPLOYMENT, limit=_AT_ONCE, pause_on_shutdown=False, query_seconds=prefect.poll_seconds
    )
    deployments = await _register(runner, prefect.schedule)
    await automations.arrange(prefect.webhook, prefect.overdue_days)
    async with get_client() as client:
        await interrupted.drop_missed(client, deployments)
    log.get(__name__).info("conducting", api=prefect.api_url, deployments=[MONTH, BACKFILL])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_look_for_interrupted(home, deployments))
        tasks.create_task(runner.start())


async def _register(runner: Runner, schedule: str) -> list[UUID]:
    common = {
        "name": DEPLOYMENT,
        "tags": ["streamflow"],
        "version": version("streamflow"),
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }
    schedules = [Cron(schedule, timezone="UTC")] if schedule else []
    return [
        await runner.aadd_deployment(await month.ato_deployment(schedules=schedules, **common)),
        await runner.aadd_deployment(await backfill.ato_deployment(**common)),
    ]


async def _look_for_interrupted(home: Path, deployments: Collection[UUID]) -> None:
    while True:
        # What keeps this look from its work must not stop the runs that have a process.
        with contextlib.suppress(httpx.HTTPError, PrefectHTTPStatusError):
            async with get_client() as client:
                taken = await interrupted.take_over(
                    client, deployments, lambda run: alive.has_process(home, run)
                )
            metrics.TAKEN_OVER.inc(len(taken))
            metrics.LAST_LOOK.set_to_current_time()
        await asyncio.sleep(_LOOK_SECONDS)


async def reachable() -> None:
    """Check that Prefect's server answers.

    Raises:
        DependencyDown: It does not.
    """
    async with get_client() as client:
        error = await client.api_healthcheck()
        if error is not None:
            raise DependencyDown(
                f"Prefect's server at {client.api_url} does not answer.",
                hint="Start it with 'streamflow up --prefect', or correct STREAMFLOW_PREFECT__API_URL.",
            ) from error

"""Run the service under uvicorn and shut it down without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Literal

import uvicorn

from streamflow import log
from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError
from streamflow.predict.app import create_apps
from streamflow.predict.http.connection import capped
from streamflow.predict.http.receiving import HeaderTimeout
from streamflow.predict.models.live_model import LiveModel
from streamflow.settings import PredictSettings, Settings

_LOG = log.get(__name__)
_TICKS_A_SECOND = 10
"""How often uvicorn calls `on_tick`."""


class StatusServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the server beside it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it shuts down.

    uvicorn closes its listener at once on SIGTERM. This server keeps answering for a while, adds `Connection: close` to
    every answer and reports that it is not ready, so that no keep-alive connection is closed with a request on it.
    SIGINT or a second signal shuts it down at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        live: LiveModel,
        settings: PredictSettings,
        status: StatusServer | None = None,
    ) -> None:
        super().__init__(config)
        self._live = live
        self._status = status
        self._drain_seconds = settings.drain_seconds
        self._header_timeout = HeaderTimeout(settings.receive_timeout_seconds)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Serve until a signal arrives, and the status port as long."""
        self._loop = asyncio.get_running_loop()
        if self._status is None:
            await super().serve(sockets)  # type: ignore[arg-type]
            return
        beside = asyncio.create_task(self._status.serve())
        try:
            await super().serve(sockets)  # type: ignore[arg-type]
        finally:
            self._status.should_exit = True
            await beside

    async def on_tick(self, counter: int) -> bool:
        """Once a second, close connections whose request headers are overdue."""
        if counter % _TICKS_A_SECOND == 0:
            self._header_timeout.sweep(self.server_state.connections, time.monotonic())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first SIGTERM; shut down on any other signal."""
        if sig != signal.SIGTERM or self._live.draining or self._loop is None or not self._drain_seconds:
            super().handle_exit(sig, frame)
            return
        self._live.draining = True
        _LOG.info("draining", seconds=self._drain_seconds)
        end = super().handle_exit
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, end, sig, frame)


def main() -> int:
    """Load the settings and serve.

    Returns:
        The exit code; an error that an operator can meet is a message on stderr.
    """
    try:
        loaded = settings_module.load()
        log.configure(loaded.log)
        run(loaded)
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def run(settings: Settings) -> None:
    """Serve until a signal arrives."""
    live = LiveModel()
    apps = create_apps(settings, live)
    status = None
    if apps.status is not None:
        status = StatusServer(
            _config(apps.status, settings.predict, settings.predict.status_port or 0, lifespan="off")
        )
    config = _config(apps.predictions, settings.predict, settings.predict.port, lifespan="on")
    DrainingServer(config, live, settings.predict, status).run()


def _config(
    app: Any, settings: PredictSettings, port: int, *, lifespan: Literal["on", "off"]
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        lifespan=lifespan,
        loop="uvloop",
        http=capped(settings.max_connections),
        log_config=None,
        access_log=False,
        server_header=False,
        # The client's address is not used.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
    )

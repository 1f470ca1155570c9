"""Run the service under uvicorn and shut it down without losing a request."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from types import FrameType

import uvicorn

from streamflow import log
from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError
from streamflow.predict.app import create_app
from streamflow.predict.http.connection import capped
from streamflow.predict.http.receiving import HeaderTimeout
from streamflow.predict.models.live_model import LiveModel
from streamflow.settings import PredictSettings, Settings

_LOG = log.get(__name__)
_TICKS_A_SECOND = 10
"""How often uvicorn calls `on_tick`."""


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it shuts down.

    uvicorn closes its listener at once on SIGTERM. This server keeps answering for a while, adds `Connection: close` to
    every answer and reports that it is not ready, so that no keep-alive connection is closed with a request on it.
    SIGINT or a second signal shuts it down at once.
    """

    def __init__(self, config: uvicorn.Config, live: LiveModel, settings: PredictSettings) -> None:
        super().__init__(config)
        self._live = live
        self._drain_seconds = settings.drain_seconds
        self._header_timeout = HeaderTimeout(settings.receive_timeout_seconds)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Serve until a signal arrives."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)  # type: ignore[arg-type]

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
    config = uvicorn.Config(
        create_app(settings, live),
        host=settings.predict.host,
        port=settings.predict.port,
        loop="uvloop",
        http=capped(settings.predict.max_connections),
        log_config=None,
        access_log=False,
        server_header=False,
        # The client's address is not used.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
    )
    DrainingServer(config, live, settings.predict).run()

"""Run the service under uvicorn and shut it down without losing a request."""

from __future__ import annotations

import asyncio
import signal
import socket
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import uvicorn

from streamflow import log
from streamflow.http import server as http_server
from streamflow.http.direct import DirectRoutes
from streamflow.http.server import QuietServer, SweepingServer, bind
from streamflow.predict.app import create_apps
from streamflow.predict.models.first_release import FirstRelease
from streamflow.predict.models.live_model import LiveModel
from streamflow.settings import PredictSettings, Settings

_LOG = log.get(__name__)


@dataclass(frozen=True)
class Beside:
    """A server that runs as long as another one, and its bound socket."""

    server: QuietServer
    bound: socket.socket


class DrainingServer(SweepingServer):
    """A server that drains before it shuts down.

    uvicorn closes its listener at once on SIGTERM. This server keeps answering for a while, adds `Connection: close` to
    every answer and reports that it is not ready, so that no keep-alive connection is closed with a request on it.
    SIGINT or a second signal shuts it down at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        live: LiveModel,
        settings: PredictSettings,
        beside: Beside | None = None,
    ) -> None:
        super().__init__(config, settings.receive_timeout_seconds)
        self._live = live
        self._beside = beside
        self._drain_seconds = settings.drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal arrives, and the status port as long."""
        self._loop = asyncio.get_running_loop()
        if self._beside is None:
            await super().serve(sockets)
            return
        status = self._beside.server
        serving = asyncio.create_task(status.serve([self._beside.bound]))
        try:
            await super().serve(sockets)
        finally:
            status.should_exit = True
            status.force_exit = self.force_exit
            await serving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first SIGTERM; shut down on any other signal."""
        if sig != signal.SIGTERM or self._live.draining or self._loop is None or not self._drain_seconds:
            super().handle_exit(sig, frame)
            if self._beside is not None and self._beside.server.should_exit:
                self._beside.server.force_exit = True
            return
        self._live.draining = True
        _LOG.info("draining", seconds=self._drain_seconds)
        end = super().handle_exit
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, end, sig, frame)


def run(settings: Settings, first: FirstRelease | None = None) -> None:
    """Serve until a signal arrives.

    Args:
        settings: All settings.
        first: The release that is loaded already; None loads it after the start.

    Raises:
        DependencyDown: A port is in use.
    """
    live = LiveModel()
    apps = create_apps(settings, live, first)
    predict = settings.predict
    bound = bind(predict.host, predict.port, "STREAMFLOW_PREDICT__PORT")
    beside = None
    if apps.status is not None:
        port = predict.status_port or 0
        beside = Beside(
            QuietServer(_config(apps.status, predict, port, lifespan="off"), predict.receive_timeout_seconds),
            bind(predict.host, port, "STREAMFLOW_PREDICT__STATUS_PORT"),
        )
    config = _config(apps.predictions, predict, predict.port, lifespan="on", routes=apps.direct)
    server = DrainingServer(config, live, predict, beside)
    server.run([bound])


def _config(
    app: Any,
    settings: PredictSettings,
    port: int,
    *,
    lifespan: Literal["on", "off"],
    routes: DirectRoutes | None = None,
) -> uvicorn.Config:
    host, most = settings.host, settings.max_connections
    return http_server.config(app, host, port, most, lifespan=lifespan, routes=routes)

"""Servers under uvicorn with caps, which close stalled connections."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any, Literal

import uvicorn

from streamflow.errors import DependencyDown
from streamflow.http.connection import capped
from streamflow.http.direct import DirectRoutes, direct
from streamflow.http.stalled import StalledConnections

_TICKS_A_SECOND = 10
"""How often uvicorn calls `on_tick`."""
_MOST_UNREAD_SECONDS = 30.0
"""Longest time that an answer may wait to be read, in seconds."""
_BACKLOG = 128
"""Connections that wait to be accepted. With uvicorn's 2048, a server that is asked for more than it can answer works for
clients that have given up: at five times its load it answered a third of its peak."""


class SweepingServer(uvicorn.Server):
    """A uvicorn server that closes stalled connections.

    Args:
        config: uvicorn's configuration.
        most_head_seconds: Longest time for a request line and its headers to arrive, in seconds.
    """

    def __init__(self, config: uvicorn.Config, most_head_seconds: float) -> None:
        super().__init__(config)
        self._stalled = StalledConnections(most_head_seconds, _MOST_UNREAD_SECONDS)

    async def on_tick(self, counter: int) -> bool:
        """Once a second, close stalled connections."""
        if counter % _TICKS_A_SECOND == 0:
            self._stalled.sweep(self.server_state.connections, time.monotonic())
        return await super().on_tick(counter)


class QuietServer(SweepingServer):
    """A server that leaves signals to the process that runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield


def bind(host: str, port: int, setting: str) -> socket.socket:
    """Bind a socket that does not listen yet, so that nobody connects before the application has started.

    Args:
        host: Address to listen on.
        port: TCP port.
        setting: Variable that chooses another port.

    Raises:
        DependencyDown: The port is in use.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise DependencyDown(
            f"Port {port} of {host} cannot be used ({error.strerror}).",
            hint=f"Stop the process that listens there, or choose another port with {setting}.",
        ) from error
    return bound


def config(
    app: Any,
    host: str,
    port: int,
    most_connections: int,
    *,
    lifespan: Literal["on", "off"],
    routes: DirectRoutes | None = None,
) -> uvicorn.Config:
    """Uvicorn's configuration of a server with a largest number of connections.

    Args:
        app: The ASGI application.
        host: Address to listen on.
        port: TCP port.
        most_connections: Largest number of connections.
        lifespan: Whether the application has a lifespan.
        routes: Answers whole requests to some routes; None leaves all to the application.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan=lifespan,
        loop="uvloop",
        ws="none",
        http=capped(most_connections) if routes is None else direct(most_connections, routes),
        log_config=None,
        access_log=False,
        server_header=False,
        # The client's address is not used.
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
    )

"""A server of Prometheus metrics and of the question whether the process lives, in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from streamflow import log

_MOST_CONNECTIONS = 32
_RECEIVE_SECONDS = 10
"""Longest time for a request to arrive, in seconds."""
_PAUSE_SECONDS = 0.2


def application(registry: CollectorRegistry, healthy: Callable[[], bool] = lambda: True) -> Any:
    """WSGI application with `/metrics`, and `/healthz`, which reads no metrics.

    Args:
        registry: The metrics.
        healthy: Whether everything that the process runs is still running.
    """
    metrics = make_wsgi_app(registry)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            well = healthy()
            start_response("200 OK" if well else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"ok\n" if well else b"a part of this process has ended\n"]
        return metrics(environ, start_response)

    return serve


class _Server(ThreadingMixIn, WSGIServer):
    """Threaded, so that it responds to probes while a scrape waits for the database; with a cap on its threads."""

    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; without a free file descriptor, pause, because the next try would fail at once."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_PAUSE_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own; beyond the largest number of connections, close this one."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and let another connection have the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class _QuietHandler(WSGIRequestHandler):
    timeout = _RECEIVE_SECONDS

    def handle(self) -> None:
        """Answer one request; a client that is too slow or disconnects is not an error."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Discard the access log that the base class would write."""


@contextlib.contextmanager
def serving(
    registry: CollectorRegistry, host: str, port: int, healthy: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Serve metrics for the duration of a `with` block.

    Args:
        registry: The metrics.
        host: Address to listen on.
        port: TCP port to listen on.
        healthy: Whether everything that the process runs is still running; `/healthz` answers 503 if not.
    """
    with make_server(host, port, application(registry, healthy), _Server, _QuietHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log.get(__name__).info("serving", host=host, port=port)
        try:
            yield
        finally:
            server.shutdown()

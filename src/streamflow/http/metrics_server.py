"""A server of Prometheus metrics and of the question whether the process lives, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from streamflow import log


def application(registry: CollectorRegistry) -> Any:
    """WSGI application with `/metrics`, and `/healthz`, which reads no metrics."""
    metrics = make_wsgi_app(registry)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        return metrics(environ, start_response)

    return serve


class _Server(ThreadingMixIn, WSGIServer):
    """Threaded, so that it responds to probes while a scrape waits for the database."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Discard the access log that the base class would write."""


@contextlib.contextmanager
def serving(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Serve metrics for the duration of a `with` block.

    Args:
        registry: The metrics.
        host: Address to listen on.
        port: TCP port to listen on.
    """
    with make_server(host, port, application(registry), _Server, _QuietHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log.get(__name__).info("serving", host=host, port=port)
        try:
            yield
        finally:
            server.shutdown()

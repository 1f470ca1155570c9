"""A client's connection with caps: on a request's head, on requests sent ahead, and on the number of connections."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streamflow.predict.http.errors import MEDIA_TYPE
from streamflow.predict.problems import Problem

MOST_HEAD_BYTES = 65_536
"""Largest request line with all headers, in bytes."""

MOST_QUEUED = 16
"""Most requests that a client may send ahead of the answers on one connection."""

_PIECE = 16_384
"""Bytes given to the parser at a time; it keeps an unfinished header without telling anyone."""


class _RefusedError(Exception):
    """Ends the parsing of what a client sent."""


class CappedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself reads heads of any size and queues requests without end."""

    most_connections = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unfinished = 0
        """Bytes received since the last whole head; 0 between two requests."""
        self._refusal: Problem | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse a connection beyond the largest number."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(Problem("overloaded", "This replica has too many connections.", retry_after=1))

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, a piece at a time."""
        if len(data) <= _PIECE:
            self._parse(data)
            return
        whole = memoryview(data)
        for start in range(0, len(whole), _PIECE):
            self._parse(whole[start : start + _PIECE])

    def _parse(self, piece: Any) -> None:
        if self._refusal is not None or self.parser is None:
            return
        before = self.scope
        self._unfinished += len(piece)
        super().data_received(piece)
        if self.scope is None or (self.cycle is not None and self.cycle.scope is self.scope):
            self._unfinished = 0
            return
        if self.scope is not before:
            # The head began in this piece, which may also hold the end of the request before.
            self._unfinished = len(piece)
        if self._unfinished > MOST_HEAD_BYTES + _PIECE and self._refusal is None:
            self._refuse(_too_large())

    def on_headers_complete(self) -> None:
        """Start or queue the request, unless its head is too large or too many requests are queued."""
        # What arrived at once within the cap is not measured, so that an ordinary request costs nothing more.
        if self._unfinished > MOST_HEAD_BYTES and self._head_bytes() > MOST_HEAD_BYTES:
            self._refusal = _too_large()
            raise _RefusedError
        if len(self.pipeline) >= MOST_QUEUED:
            self._refusal = Problem(
                "overloaded", f"More than {MOST_QUEUED} requests were sent ahead of the answers."
            )
            raise _RefusedError
        super().on_headers_complete()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or what `_RefusedError` refused."""
        self._refuse(self._refusal or Problem("bad_request", msg, status=400))

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem and close; behind whole requests in progress, only close once they are answered."""
        self._refusal = problem
        # The request that arrived last, which is answered last.
        last = self.cycle
        if last is not None and not last.response_complete and not last.more_body:
            last.keep_alive = False
            return
        content = json.dumps(problem.document()).encode()
        lines = [
            f"HTTP/1.1 {problem.http_status} {_PHRASES.get(problem.http_status, '')}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(content)}",
            "connection: close",
        ]
        if problem.retry_after:
            lines.append(f"retry-after: {problem.retry_after}")
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + content)
        self.transport.close()


_PHRASES = {400: "Bad Request", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


def _too_large() -> Problem:
    return Problem(
        "request_too_large",
        f"The request line and headers are larger than {MOST_HEAD_BYTES} bytes.",
        status=431,
    )


def capped(most_connections: int) -> type[CappedProtocol]:
    """The protocol with a largest number of connections; a class, because uvicorn makes the instances."""
    return type("Protocol", (CappedProtocol,), {"most_connections": most_connections})

"""A client's connection with caps: on heads and trailers, on requests sent ahead, and on the number of connections."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from streamflow.http.problems import MEDIA_TYPE, Problem

MOST_HEAD_BYTES = 65_536
"""Largest request line with all headers, in bytes, and most bytes around a body that belong to none of its chunks."""

MOST_QUEUED = 16
"""Most requests that a client may send ahead of the answers on one connection."""

_PIECE = 16_384
"""Bytes given to the parser at a time; it keeps an unfinished header without telling anyone."""


class _RefusedError(Exception):
    """Ends the parsing of what a client sent."""


class CappedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself reads heads of any size and queues requests without end."""

    most_connections = 0
    opened = 0.0
    """When the client connected, by the clock of the event loop."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unfinished = 0
        """Bytes received since the last whole head; 0 between two requests."""
        self._around = 0
        """Bytes received since the last byte of a body, such as trailers."""
        self._in_body = False
        self._answering: RequestResponseCycle | None = None
        """The request that the application handles, or handled last; others wait in `pipeline`."""
        self._refusal: Problem | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Beyond the largest number of connections, close the one that has been idle longest, or refuse this one."""
        super().connection_made(transport)
        self.opened = self.loop.time()
        if len(self.connections) <= self.most_connections:
            return
        idle = _longest_idle(self.connections, self)
        if idle is None:
            self._refuse(Problem("overloaded", "This replica has too many connections.", retry_after=1))
        else:
            _close(idle)

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
        self._in_body = False
        super().data_received(piece)
        if self.scope is None or (self.cycle is not None and self.cycle.scope is self.scope):
            self._unfinished = 0
            if self.cycle is None or self._in_body or not self.cycle.more_body:
                self._around = 0
                return
            self._around += len(piece)
            if self._around > MOST_HEAD_BYTES + _PIECE and self._refusal is None:
                self._refuse(_too_large())
            return
        if self.scope is not before:
            # The head began in this piece, which may also hold the end of the request before.
            self._unfinished = len(piece)
            self._around = 0
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
        # Trailers go nowhere: they must not become headers of a request that has been checked.
        self.headers = _NOWHERE

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        self._in_body = True
        super().on_body(body)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a client could fill the log."""

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or what `_RefusedError` refused."""
        self._refuse(self._refusal or Problem("bad_request", msg, status=400))

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem and close; behind whole requests in progress, only close once they are answered."""
        self._refusal = problem
        last: RequestResponseCycle | None = self.cycle
        if last is not None and last.more_body and self.pipeline and self.pipeline[0][0] is last:
            # What is refused belongs to the body of a request that waits, so that one is not answered either.
            self.pipeline.popleft()
            last = self.pipeline[0][0] if self.pipeline else self._answering
        if last is not None and not last.response_complete and not last.more_body:
            last.keep_alive = False
            return
        if last is not None and last.more_body:
            last.disconnected = True
            last.message_event.set()
            if last.response_started:
                self.transport.close()
                return
        self._answer(problem)

    def _answer(self, problem: Problem) -> None:
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


def _close(connection: CappedProtocol) -> None:
    """Close a connection; one whose client does not read what was sent at once, since closing waits for the client."""
    if connection.transport.get_write_buffer_size():
        connection.transport.abort()
    else:
        connection.transport.close()


def _longest_idle(connections: Iterable[Any], new: CappedProtocol) -> CappedProtocol | None:
    """The connection that has waited longest for a whole head; None if all others have a request in progress."""
    idle = (each for each in connections if each is not new and _is_idle(each))
    return min(idle, key=_idle_since, default=None)


def _is_idle(connection: Any) -> bool:
    cycle = connection.cycle
    return (cycle is None or cycle.response_complete) and not connection.transport.is_closing()


def _idle_since(connection: CappedProtocol) -> float:
    timer = connection.timeout_keep_alive_task
    return connection.opened if timer is None else timer.when() - connection.timeout_keep_alive


_NOWHERE: Any = deque(maxlen=0)

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

"""Answers whole requests to some routes straight from the connection, without an ASGI scope, task and messages.

uvicorn reads and orders the requests of a connection as ever. A request takes the short way only if nothing about it is
odd: it has arrived whole in one piece, on a connection that stays open, with no other request before or behind it. Every
other request to the same routes is answered over ASGI, with the same bytes.

The parser is a pure function of what it reads. So a head that it has read before need not be parsed again: a request that
begins between two others, with the very bytes of such a head, is cut behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from streamflow.http.connection import CappedProtocol

Headers = Sequence[tuple[bytes, bytes]]
"""Names, in lower case, and values."""

_MOST_HEADS = 256
"""Heads that are remembered for all connections."""
_MOST_KNOWN_BYTES = 1024
"""Largest head that is remembered."""
_BLANK = b"\r\n\r\n"


class DirectRoutes(Protocol):
    """What answers the requests."""

    def matches(self, method: str, path: str) -> bool:
        """Whether it answers requests with this method and path, without a query."""

    def takes(self, size: int) -> bool:
        """Whether it answers a request with a body of this size now; otherwise it is answered over ASGI."""

    def repeats(self, path: str, headers: Headers) -> bool:
        """Whether a client is likely to send the same head again, and nothing in it is secret."""

    def answer(self, exchange: Exchange, path: str, headers: Headers, body: bytes) -> None:
        """Answer now or later by `Exchange.reply`; raises nothing."""


class Exchange:
    """One request on the short way, and its answer; to uvicorn, it is the cycle of the connection.

    Attributes:
        keep_alive: Whether the connection stays open after the answer.
        disconnected: Whether the client is gone, so that nothing is sent.
    """

    __slots__ = (
        "_connection",
        "disconnected",
        "keep_alive",
        "response_complete",
        "response_started",
        "scope",
    )

    more_body = False

    def __init__(self, connection: DirectProtocol) -> None:
        self._connection = connection
        # uvicorn and the caps compare it, to see whether the head of a request is whole.
        self.scope = connection.scope
        self.keep_alive = True
        self.disconnected = self.response_started = self.response_complete = False

    @property
    def message_event(self) -> Exchange:
        """What uvicorn sets to wake an application that waits for the client; here nobody does."""
        return self

    def set(self) -> None:
        """Wake nobody."""

    def reply(self, status: int, headers: bytes, content: bytes, *, close: bool = False) -> None:
        """Send the whole answer.

        Args:
            status: HTTP status.
            headers: Lines of the headers, each with its line end, without Content-Length of another content.
            content: The body.
            close: Whether the headers announce that the connection is closed.
        """
        if self.disconnected or self.response_complete:
            return
        connection = self._connection
        self.response_started = self.response_complete = True
        if close:
            self.keep_alive = False
        elif not self.keep_alive:
            headers += b"connection: close\r\n"
        connection.transport.write(
            b"%b%b%b\r\n%b" % (STATUS_LINE[status], connection.default_lines(), headers, content)
        )
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()


class _Known(NamedTuple):
    path: str
    headers: Headers
    length: int


class DirectProtocol(CappedProtocol):
    """A connection with direct routes."""

    routes: DirectRoutes
    known: dict[bytes, _Known]
    """Heads of requests to the routes, for all connections."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begun = 0
        """Requests of the present piece."""
        self._in_request = False
        """Whether the parser is inside of a request."""
        self._upgraded = False
        self._receiving = False
        self._held: tuple[RequestResponseCycle, Any] | None = None
        """A request that has not been started yet, in case it arrives whole."""
        self._defaults: tuple[Any, bytes] = (None, b"")

    def default_lines(self) -> bytes:
        """Headers of every answer, such as the date, which uvicorn replaces once a second."""
        headers = self.server_state.default_headers
        of, lines = self._defaults
        if of is not headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._defaults = headers, lines
        return lines

    def data_received(self, data: bytes) -> None:
        """Answer a whole request with a known head; parse anything else."""
        between = self._is_between()
        if between:
            end = data.find(_BLANK, 0, _MOST_KNOWN_BYTES) + len(_BLANK)
            known = self.known.get(data[:end])
            if known is not None and len(data) - end == known.length and self.routes.takes(known.length):
                self._unset_keepalive_if_required()
                self._exchange(known.path, known.headers, data[end:])
                return
        self._begun = 0
        self._receiving = True
        try:
            super().data_received(data)
        finally:
            self._receiving = False
            held, self._held = self._held, None
            if held is not None:
                self._start(held, data if between and self._begun == 1 else b"")

    def _is_between(self) -> bool:
        """Whether the parser and the application are done with what came so far: the next byte begins a request."""
        if self._in_request or self._upgraded or self._refusal is not None:
            return False
        last = self.cycle
        if last is not None and not (last.response_complete and last.keep_alive):
            return False
        return not self.flow.write_paused and not self.transport.is_closing()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._begun += 1
        self._in_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start, hold or queue the request."""
        self._upgraded = self._upgraded or self.parser.should_upgrade()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_request = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._receiving and self._is_plain(cycle):
            self._answering = cycle
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _is_plain(self, cycle: RequestResponseCycle) -> bool:
        scope = cycle.scope
        return (
            self.routes.matches(scope["method"], scope["path"])
            and not scope["query_string"]
            and cycle.keep_alive
            and not cycle.waiting_for_100_continue
            and not self._upgraded
        )

    def _start(self, held: tuple[RequestResponseCycle, Any], whole: bytes) -> None:
        """Start a request that was held.

        Args:
            held: The request.
            whole: The bytes it was parsed from, if they hold nothing else; otherwise empty.
        """
        cycle, app = held
        body = bytes(cycle.body)
        if (
            cycle is not self.cycle
            or cycle.more_body
            or not cycle.keep_alive
            or cycle.disconnected
            or self._in_request
            or self._refusal is not None
            or self.flow.write_paused
            or not self.routes.takes(len(body))
        ):
            super()._start_asgi_task(cycle, app)
            return
        headers = tuple(cycle.scope["headers"])
        path = cycle.scope["path"]
        self._remember(path, headers, whole, body)
        self._exchange(path, headers, body)

    def _exchange(self, path: str, headers: Headers, body: bytes) -> None:
        exchange: Any = Exchange(self)
        self.cycle = self._answering = exchange
        self.routes.answer(exchange, path, headers, body)

    def _remember(self, path: str, headers: Headers, whole: bytes, body: bytes) -> None:
        """Remember the head of a whole request whose body is as long as its only Content-Length says."""
        end = len(whole) - len(body)
        lengths = [value for name, value in headers if name == b"content-length"]
        if (
            lengths == [b"%d" % len(body)]
            and len(_BLANK) <= end <= _MOST_KNOWN_BYTES
            and whole.find(_BLANK) + len(_BLANK) == end
            and whole[end:] == body
            and all(name != b"transfer-encoding" for name, _ in headers)
            and self.routes.repeats(path, headers)
        ):
            if len(self.known) >= _MOST_HEADS:
                self.known.clear()
            self.known[whole[:end]] = _Known(path, headers, len(body))


def direct(most_connections: int, routes: DirectRoutes) -> type[DirectProtocol]:
    """The protocol with a largest number of connections and direct routes; uvicorn makes the instances of the class."""
    return type(
        "Protocol", (DirectProtocol,), {"most_connections": most_connections, "routes": routes, "known": {}}
    )

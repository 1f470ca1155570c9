"""Receive requests: whole, not too large, and not too slowly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from streamflow.predict.problems import Problem, ProblemError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGoneError(Exception):
    """The client closed the connection before it had sent its request."""


class BodyReader:
    """Reads bodies, with one timer for all of them: one for each would cost every request for the few that are slow.

    Args:
        most_bytes: Largest body.
        most_seconds: Longest time for all of a body.
    """

    def __init__(self, most_bytes: int, most_seconds: float) -> None:
        self._bytes = most_bytes
        self._seconds = most_seconds
        # In the order in which they began.
        self._reading: dict[asyncio.Task[Any] | None, float] = {}
        self._late: set[asyncio.Task[Any] | None] = set()
        self._armed = False

    async def read(self, receive: Receive) -> bytes:
        """The whole body of the request that this task handles.

        Raises:
            ProblemError: request_too_large, request_timeout.
            ClientGoneError: the client went away meanwhile.
        """
        task = asyncio.current_task()
        self._reading[task] = time.monotonic()
        if not self._armed:
            self._arm(self._seconds)
        body = b""
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGoneError
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > self._bytes:
                    raise ProblemError(self._too_large())
        except asyncio.CancelledError:
            if task is None or task not in self._late or task.uncancel():
                raise
            raise ProblemError(self._too_slow()) from None
        finally:
            del self._reading[task]
            self._late.discard(task)
        return body

    def _arm(self, seconds: float) -> None:
        self._armed = True
        asyncio.get_running_loop().call_later(seconds, self._end_late)

    def _end_late(self) -> None:
        self._armed = False
        latest = time.monotonic() - self._seconds
        for task, since in self._reading.items():
            if since > latest:
                self._arm(since - latest)
                return
            if task is not None and task not in self._late:
                self._late.add(task)
                task.cancel()

    def _too_large(self) -> Problem:
        return Problem("request_too_large", f"The body is over {self._bytes} bytes. Send less at a time.")

    def _too_slow(self) -> Problem:
        detail = f"The body did not arrive within {self._seconds:g} s. Send it at once."
        return Problem("request_timeout", detail)


class HeaderTimeout:
    """Closes connections on which a request's line and headers do not arrive; uvicorn itself would wait for ever.

    It looks at connections from time to time, so requests pay nothing. One that is idle between two requests is none
    of its business: uvicorn's keep-alive ends that.
    """

    def __init__(self, most_seconds: float) -> None:
        self._seconds = most_seconds
        # By connection: the request that was its last when it was found waiting, and when that was.
        self._waiting: dict[Any, tuple[Any, float]] = {}

    def sweep(self, connections: Iterable[Any], now: float) -> None:
        """Look at every connection (uvicorn's, by httptools), and close those found waiting for too long."""
        waiting: dict[Any, tuple[Any, float]] = {}
        for connection in tuple(connections):
            if not _waits_for_head(connection):
                continue
            last, since = self._waiting.get(connection, (None, now))
            if last is not connection.cycle:
                last, since = connection.cycle, now
            if now - since > self._seconds:
                connection.transport.close()
            else:
                waiting[connection] = last, since
        self._waiting = waiting


def _waits_for_head(connection: Any) -> bool:
    if not hasattr(connection, "cycle"):
        return False
    done = connection.cycle is None or connection.cycle.response_complete
    return done and connection.timeout_keep_alive_task is None

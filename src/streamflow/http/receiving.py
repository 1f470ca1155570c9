"""Limits on the size of request bodies and on the time that they take to arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from streamflow.http.problems import Problem, ProblemError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def refuse_compressed(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request whose body is compressed: its size says nothing about what it unpacks to.

    Args:
        headers: Names, in lower case, and values.

    Raises:
        ProblemError: `unsupported_encoding`.
    """
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            encoding = value[:40].decode("ascii", "replace")
            detail = (
                f"The body has the Content-Encoding '{encoding}'. Send it uncompressed, without that header."
            )
            raise ProblemError(Problem("unsupported_encoding", detail))


class ClientGoneError(Exception):
    """The client disconnected before it had sent the whole request."""


class BodyReader:
    """Reads bodies with one shared timer; per-request timers tax fast requests.

    Args:
        most_bytes: Largest body, in bytes; bodies that arrive at the same time share 32 times as much.
        most_seconds: Longest time for a whole body, in seconds.
    """

    def __init__(self, most_bytes: int, most_seconds: float) -> None:
        self._bytes = most_bytes
        self._total = 32 * most_bytes
        self._held = 0
        self._seconds = most_seconds
        # Ordered by start time.
        self._reading: dict[asyncio.Task[Any] | None, float] = {}
        self._late: set[asyncio.Task[Any] | None] = set()
        self._armed = False

    def takes(self, size: int) -> bool:
        """Whether a body that has arrived whole is within the limits."""
        return size <= self._bytes and self._held + size <= self._total

    async def read(self, receive: Receive) -> bytes:
        """Read the whole body of the request that the current task handles.

        Raises:
            ProblemError: `request_too_large` or `request_timeout`.
            ClientGoneError: The client disconnected.
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
                part = message.get("body", b"")
                body += part
                self._held += len(part)
                more = message.get("more_body", False)
                if len(body) > self._bytes:
                    raise ProblemError(self._too_large())
                if self._held > self._total:
                    raise ProblemError(_too_much_at_once())
        except asyncio.CancelledError:
            if task is None or task not in self._late or task.uncancel():
                raise
            raise ProblemError(self._too_slow()) from None
        finally:
            self._held -= len(body)
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
        return Problem(
            "request_too_large", f"The body is larger than {self._bytes} bytes. Send less at a time."
        )

    def _too_slow(self) -> Problem:
        detail = f"The body did not arrive within {self._seconds:g} s. Send it without pauses."
        return Problem("request_timeout", detail)


def _too_much_at_once() -> Problem:
    return Problem("overloaded", "Too much is being sent to this replica at a time.", retry_after=1)

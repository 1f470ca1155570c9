"""Closes connections on which nothing moves: heads that do not arrive, and answers that are not read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class StalledConnections:
    """Finds stalled connections; uvicorn itself would wait for them forever.

    It looks at all connections from time to time, so that requests cost nothing more. A connection that is idle between
    two requests is left to uvicorn's keep-alive timeout.

    Args:
        most_head_seconds: Longest time for a request line and its headers to arrive, in seconds.
        most_unread_seconds: Longest time that something may wait to be read by the client, in seconds.
    """

    def __init__(self, most_head_seconds: float, most_unread_seconds: float) -> None:
        self._head_seconds = most_head_seconds
        self._unread_seconds = most_unread_seconds
        # By connection: its last request, and since when it has been waiting for the next one.
        self._heads: dict[Any, tuple[Any, float]] = {}
        # By connection: since when something waits to be read.
        self._unread: dict[Any, float] = {}

    def sweep(self, connections: Iterable[Any], now: float) -> None:
        """Close the connections that have been stalled for too long.

        Args:
            connections: uvicorn's connections (its httptools protocol).
            now: Current time by the monotonic clock, in seconds.
        """
        heads: dict[Any, tuple[Any, float]] = {}
        unread: dict[Any, float] = {}
        for connection in tuple(connections):
            if connection.transport.get_write_buffer_size():
                since = self._unread.get(connection, now)
                if now - since > self._unread_seconds:
                    connection.transport.abort()
                    continue
                unread[connection] = since
            if _waits_for_head(connection):
                last, since = self._heads.get(connection, (None, now))
                if last is not connection.cycle:
                    last, since = connection.cycle, now
                if now - since > self._head_seconds:
                    connection.transport.close()
                else:
                    heads[connection] = last, since
        self._heads = heads
        self._unread = unread


def _waits_for_head(connection: Any) -> bool:
    done = connection.cycle is None or connection.cycle.response_complete
    return done and connection.timeout_keep_alive_task is None

"""A load client with keep-alive HTTP/1.1 connections that does as little work per request as possible.

python -m bench.load --port 8000 --clients 64 --seconds 4 REQUESTS

REQUESTS is a file with one JSON string per line, each a complete HTTP request. Without --rate, a connection
sends its next request as soon as the last one is answered. With --rate, requests are due at even intervals
regardless of the answers; latency counts from when a request was due. This avoids coordinated omission: if
the server stalls, every request that was due meanwhile shows the delay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Run:
    """State shared by all connections."""

    def __init__(self, requests: list[bytes], warm_until: float, end: float, rate: float) -> None:
        self.requests = cycle(requests)
        self.warm_until, self.end, self.rate = warm_until, end, rate
        self.latencies: list[float] = []
        self.answers = self.errors = 0
        self.first_error = ""
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()

    def done(self, connection: Connection, began: float, status: bytes, head: bytes) -> None:
        """Record an answer, and give the connection its next request."""
        now = time.perf_counter()
        self.answers += 1
        if status != b"200":
            self.errors += 1
            self.first_error = self.first_error or head.decode(errors="replace")[:300]
        elif began >= self.warm_until:
            self.latencies.append(now - began)
        if self.rate:
            if self.due:
                connection.send(self.due.popleft())
            else:
                self.idle.append(connection)
        elif now < self.end:
            connection.send(now)

    async def pace(self) -> None:
        """Schedule requests at the given rate; those that find no idle connection queue."""
        due = time.perf_counter()
        while due < self.end:
            now = time.perf_counter()
            while due <= now:
                if self.idle:
                    self.idle.popleft().send(due)
                else:
                    self.due.append(due)
                due += 1 / self.rate
            # The event loop's timers have a resolution of 1 ms. A shorter sleep would return at once, so this
            # loop would take a core that the server needs.
            await asyncio.sleep(max(0.001, due - time.perf_counter()))


class Connection(asyncio.Protocol):
    """One connection with at most one request on it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: Any = None
        self._began = 0.0
        self._head = b""
        self._left = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request, or wait until one is due."""
        self._transport = transport
        if self._run.rate:
            self._run.idle.append(self)
        else:
            self.send(time.perf_counter())

    def send(self, began: float) -> None:
        """Send the next request."""
        self._began = began
        self._head, self._left = b"", -1
        self._transport.write(next(self._run.requests))

    def data_received(self, data: bytes) -> None:
        """Count bytes until the answer is complete."""
        if self._left >= 0:
            self._left -= len(data)
        else:
            self._head += data
            at = self._head.find(_HEAD_END)
            if at < 0:
                return
            self._left = _length(self._head[:at]) - (len(self._head) - at - len(_HEAD_END))
        if self._left <= 0:
            self._run.done(self, self._began, self._head[9:12], self._head)

    def connection_lost(self, _error: Exception | None) -> None:
        """Count a connection that the server closed as a failed request."""
        if time.perf_counter() < self._run.end:
            self._run.errors += 1
            self._run.first_error = self._run.first_error or "the server closed the connection"


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    if at < 0:
        raise ValueError(f"no content-length in {head!r}")
    return int(lowered[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


async def run(
    port: int, clients: int, seconds: float, warm_seconds: float, rate: float, requests: list[bytes]
) -> dict[str, Any]:
    """Load the server and return the figures, with latencies in milliseconds."""
    began = time.perf_counter()
    shared = Run(requests, began + warm_seconds, began + warm_seconds + seconds, rate)
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(shared), "127.0.0.1", port) for _ in range(clients)
    ]
    if rate:
        await shared.pace()
    await asyncio.sleep(max(0.0, shared.end - time.perf_counter()))
    # Wait for outstanding answers, which belong to the run, but not forever: the server may hang.
    limit = time.perf_counter() + 30
    while any(connection._left != 0 for _, connection in made) and time.perf_counter() < limit:
        await asyncio.sleep(0.005)
    ended = time.perf_counter()
    for transport, _ in made:
        transport.abort()
    return {**_figures(shared, ended - shared.warm_until), "answers": shared.answers}


def _figures(run: Run, seconds: float) -> dict[str, Any]:
    ordered = sorted(run.latencies)
    count = len(ordered)

    def quantile(share: float) -> float | None:
        return round(ordered[min(count - 1, int(share * count))] * 1000, 3) if count else None

    return {
        "requests_per_s": round(count / seconds, 1),
        "p50_ms": quantile(0.5),
        "p90_ms": quantile(0.9),
        "p99_ms": quantile(0.99),
        "max_ms": quantile(1),
        "errors": run.errors,
        "first_error": run.first_error,
    }


def main() -> None:
    """Run from the command line and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-seconds", type=float, default=0.5)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    requests = [
        json.loads(line).encode() for line in options.requests.read_text(encoding="utf-8").splitlines()
    ]
    uvloop.install()
    figures = asyncio.run(
        run(options.port, options.clients, options.seconds, options.warm_seconds, options.rate, requests)
    )
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()

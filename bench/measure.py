"""Measure one contender under load: requests per second, latencies, and CPU time of its processes."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import psutil

Figures = dict[str, Any]
_WATCH_SECONDS = 0.5


class BenchError(Exception):
    """A contender failed or answered wrongly, so its figures would mean nothing."""


def load(
    port: int, requests: Path, *, clients: int, seconds: float, rate: float = 0.0, warm_seconds: float = 0.5
) -> Figures:
    """Run the load client once; return its figures.

    Args:
        port: Port of the contender.
        requests: File of requests.
        clients: Number of connections.
        seconds: How long to measure.
        rate: Requests per second over all connections; 0 for as many as possible.
        warm_seconds: How long to send requests before measuring.

    Raises:
        BenchError: A response did not have status 200.
    """
    command = [sys.executable, "-m", "bench.load", str(requests), "--port", str(port)]
    command += ["--clients", str(clients), "--seconds", str(seconds), "--rate", str(rate)]
    command += ["--warm-seconds", str(warm_seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"The load client failed: {done.stderr.strip()[-500:]}")
    figures: Figures = json.loads(done.stdout)
    if figures["errors"]:
        raise BenchError(f"{figures['errors']} requests failed; the first: {figures['first_error']}")
    return figures


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its descendants, including children that have ended."""
    root = psutil.Process(pid)
    times = root.cpu_times()
    total: float = times.user + times.system + times.children_user + times.children_system
    for child in root.children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return total


class PeakMemory:
    """Watches the resident memory of a process and its descendants, with what they share counted once.

    Args:
        pid: Process id; None watches nothing.

    Attributes:
        mib: Most that was seen.
    """

    def __init__(self, pid: int | None) -> None:
        self.mib = 0.0
        self._pid, self._end = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._pid is not None and not self._end.wait(_WATCH_SECONDS):
            self.mib = max(self.mib, _resident(self._pid) / 2**20)


def _resident(pid: int) -> int:
    """Bytes of a process and its descendants: what each has alone, and the most that one shares."""
    alone = shared = 0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = process.memory_info()
            alone, shared = alone + memory.rss - memory.shared, max(shared, memory.shared)
    return alone + shared


def with_cpu(pid: int, postgres: int | None, run: Any) -> Figures:
    """Call `run`, and add the CPU milliseconds per answer of the server and of PostgreSQL to its figures.

    Args:
        pid: Process id of the server.
        postgres: Process id of PostgreSQL; None leaves it out.
        run: Produces the figures.
    """
    before = cpu_seconds(pid), cpu_seconds(postgres) if postgres else 0.0
    figures: Figures = run()
    answers = max(1, figures["answers"])
    figures["cpu_ms"] = round((cpu_seconds(pid) - before[0]) / answers * 1000, 4)
    if postgres:
        figures["postgres_cpu_ms"] = round((cpu_seconds(postgres) - before[1]) / answers * 1000, 4)
    return figures


def medians(rounds: Iterable[Figures]) -> Figures:
    """Median of each figure over the rounds, and the requests per second of each round."""
    every = list(rounds)
    names = [name for name, value in every[0].items() if isinstance(value, int | float)]
    middle: Figures = {name: statistics.median(one[name] for one in every) for name in names}
    return {**middle, "rounds": [one["requests_per_s"] for one in every]}

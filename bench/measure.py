"""Measure one contender under load: requests per second, latencies, and CPU time of its processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

Figures = dict[str, Any]


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

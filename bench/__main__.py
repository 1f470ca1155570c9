"""`make bench`: measure all contenders, print a table, and write bench/results.json."""

from __future__ import annotations

import argparse
import contextlib
import platform
import re
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench import agreement, batch, contenders, floor, measure, parts, report
from bench.contenders import Contender
from bench.measure import Figures
from bench.world import World, running
from streamflow.errors import StreamFlowError
from streamflow.local import processes

_RESULTS = Path(__file__).with_name("results.json")
_FLOOR_CLIENTS = 8
_PARTS = {"ingest": 300_000, "train": 300_000, "stored": 100_000}


def tell(line: str) -> None:
    """Print progress to stderr."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")


def main() -> None:
    """Run the whole benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender has its turn")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a turn is")
    parser.add_argument(
        "--users", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes for the batch part"
    )
    options = parser.parse_args()
    began = time.monotonic()
    # One after the other, and before the stack runs, so that nothing else needs the processor.
    taken = _parts()
    with running(tell) as world, tempfile.TemporaryDirectory(prefix="streamflow-bench-") as folder:
        results = measured(world, Path(folder), options.rounds, options.seconds, options.users, taken)
    results["took_s"] = round(time.monotonic() - began, 1)
    report.write(_RESULTS, results)
    sys.stdout.write(report.table(results) + "\n")
    tell(f"{_RESULTS} written after {results['took_s']:.0f} s")


def _parts() -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for module, users in _PARTS.items():
        tell(f"bench.{module} with {users:,} users")
        taken[module] = parts.figures_of(module, users)
    return {**taken, "images": parts.image_sizes()}


def measured(
    world: World, folder: Path, rounds: int, seconds: float, sizes: list[int], taken_apart: dict[str, Any]
) -> dict[str, Any]:
    """Measure everything on the stack; return the content of results.json.

    Args:
        world: The running stack.
        folder: A folder for what the contenders write.
        rounds: How often each contender has its turn.
        seconds: How long a turn is.
        sizes: Numbers of users to materialize.
        taken_apart: What was measured without the stack, by name.
    """
    online = processes.read(world.settings.home / "run" / "postgres.json")
    if online is None:
        raise measure.BenchError("The stack has no PostgreSQL.")
    tell("starting the contenders")
    with contenders.all_running(world, folder) as servers:
        tell("comparing their answers")
        agreement.check(servers)
        script = floor.prepare(world, folder)
        taken: dict[str, dict[int, list[Figures]]] = {}
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            _round(world, servers, script, online.pid, seconds, taken)
        cells = {name: {c: measure.medians(f) for c, f in cells.items()} for name, cells in taken.items()}
        ours = next(server for server in servers if server.name == "predict")
        half = _half_peak(ours, online.pid, cells["predict"][64]["requests_per_s"] / 2, rounds, seconds)
        rss = psutil.Process(ours.pid).memory_info().rss / 2**20
    summaries = {s.name: s.summary for s in servers} | {"pgbench": "f. pgbench, one row by key"}
    done = _batch(world, sizes, rounds)
    done["rss_mib"] = round(rss, 1)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "data": world.data,
        "rounds": rounds,
        "seconds": seconds,
        "contenders": {n: {"summary": summaries[n], "by_clients": by} for n, by in cells.items()},
        "half_peak": half,
        "batch": done,
        "parts": taken_apart,
        "ratios": report.ratios(cells, done, half, taken_apart),
    }


def _round(
    world: World,
    servers: list[Contender],
    script: Path,
    postgres: int,
    seconds: float,
    taken: dict[str, dict[int, list[Figures]]],
) -> None:
    for clients in (1, 8, 64):
        for server in servers:
            if clients in server.clients:
                figures = _turn(server, postgres, clients, seconds)
                taken.setdefault(server.name, {}).setdefault(clients, []).append(figures)
    figures = measure.with_cpu(
        postgres, None, lambda: floor.run(world, script, clients=_FLOOR_CLIENTS, seconds=seconds)
    )
    taken.setdefault("pgbench", {}).setdefault(_FLOOR_CLIENTS, []).append(figures)


def _turn(server: Contender, postgres: int, clients: int, seconds: float, rate: float = 0.0) -> Figures:
    def turn() -> Figures:
        return measure.with_cpu(
            server.pid,
            postgres if server.uses_postgres else None,
            lambda: measure.load(server.port, server.requests, clients=clients, seconds=seconds, rate=rate),
        )

    try:
        return turn()
    except measure.BenchError as error:
        if server.ours:
            raise
        # Other servers occasionally close a keep-alive connection; that must not abort the run.
        tell(f"{server.name}, {clients} clients: {error} Once more.")
        return turn()


def _half_peak(ours: Contender, postgres: int, rate: float, rounds: int, seconds: float) -> Figures:
    tell(f"half of our peak: {rate:.0f} a second")
    turns = [_turn(ours, postgres, 64, seconds, rate) for _ in range(rounds)]
    return {**measure.medians(turns), "rate": rate}


def _batch(world: World, sizes: list[int], rounds: int) -> dict[str, Any]:
    tell("cold start")
    starts = [batch.cold_start(world.settings) for _ in range(max(3, rounds))]
    done: dict[str, Any] = {
        "materialize": {},
        "score": None,
        "cold_start_s": round(statistics.median(starts), 3),
        "cold_starts_s": [round(one, 3) for one in starts],
    }
    for users in sizes:
        tell(f"a database of {users:,} users")
        with batch.database_of(world.settings, users) as big:
            tell("materializing it")
            turns = [batch.in_process(big, "materialize") for _ in range(rounds if users <= 100_000 else 1)]
            done["materialize"][str(users)] = sorted(turns, key=lambda f: f["per_s"])[len(turns) // 2]
            if users == max(sizes):
                tell("scoring it")
                try:
                    batch.release_into(world.settings, big, world.version)
                    done["score"] = batch.in_process(big, "score")
                except (measure.BenchError, StreamFlowError) as error:
                    tell(f"not measured: {error}")
    return done


def machine() -> str:
    """Describe the machine by its hardware only, without host name or paths."""
    memory = psutil.virtual_memory().total / 2**30
    model = "unknown CPU"
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
        model = found[1].strip() if found else model
    return (
        f"{psutil.cpu_count()} cores of {model}, {memory:.0f} GiB, {sys.platform.capitalize()},"
        f" Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()

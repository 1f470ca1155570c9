"""Measure the ingest of a drop against PostgreSQL's plain COPY of the same files into bare tables.

`python -m bench.ingest --users 300000` starts PostgreSQL, measures both in turn and prints JSON with the ratios.
Each turn is a process of its own, and its imports are not timed; CPU seconds are those of the process and of PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from bench import batch
from bench.measure import BenchError, Figures, cpu_seconds
from streamflow.local import home, postgres, services
from streamflow.postgres.engine import engine
from streamflow.postgres.names import quote
from streamflow.settings import Settings, load

_ROOT = Path(__file__).resolve().parents[1]
_SCHEMA = "bare"
_BLOCK = 1 << 20


def measured(settings: Settings, server: int, users: int, rounds: int = 3) -> Figures:
    """Copy and ingest one simulated drop of `users` users, each `rounds` times; return medians and their ratios.

    Args:
        settings: Settings of a running PostgreSQL, in which a database is created and dropped.
        server: Process id of that PostgreSQL.
        users: Number of users in the drop.
        rounds: How often each of the two has its turn; every ingest has an as-of of its own.
    """
    from streamflow.local.simulate import Simulation, simulate

    with tempfile.TemporaryDirectory(prefix="streamflow-bench-") as out, _database(settings, users) as own:
        (drop,) = simulate(settings.feast.repo, Path(out), Simulation(users=users, months=1))
        size = sum(path.stat().st_size for path in drop.folder.glob("*.csv"))
        taken: dict[str, list[Figures]] = {"copy": [], "ingest": []}
        for number in range(rounds):
            when = date(2025, 1, 1 + number).isoformat()
            for what, figures in taken.items():
                figures.append(_turn(own, server, what, drop.folder, when))
    copied, ingested = (
        {name: round(statistics.median(one[name] for one in figures), 3) for name in figures[0]}
        for figures in taken.values()
    )
    return {
        "users": users,
        "bytes": size,
        "copy": copied,
        "ingest": ingested,
        "ingest_vs_copy_wall": round(ingested["seconds"] / copied["seconds"], 2),
        "ingest_vs_copy_cpu": round(_cpu(ingested) / _cpu(copied), 2),
    }


def _cpu(figures: Figures) -> float:
    return float(figures["cpu_seconds"] + figures["postgres_cpu_seconds"])


@contextlib.contextmanager
def _database(settings: Settings, users: int) -> Iterator[Settings]:
    """Create a database with the platform's tables and none of their rows; drop it at the end."""
    from streamflow.drops import tables
    from streamflow.postgres.engine import transaction
    from streamflow.repo import definitions
    from streamflow.schema.migrate import migrate

    name = f"bench_ingest_{users}"
    own = settings.model_copy(update={"database": settings.database.model_copy(update={"name": name})})
    with batch.connect(settings, "postgres") as admin:
        admin.execute(f"CREATE DATABASE {quote(name)}")
    try:
        migrate(own.database)
        with transaction(own.database) as connection:
            tables.ensure(connection, definitions.load(own.feast.repo))
        yield own
    finally:
        engine(own.database).dispose()
        with batch.connect(settings, "postgres") as admin:
            admin.execute(f"DROP DATABASE {quote(name)} WITH (FORCE)")


def _turn(settings: Settings, server: int, what: str, folder: Path, as_of: str) -> Figures:
    with batch.connect(settings, settings.database.name) as connection:
        connection.execute("CHECKPOINT")
    before = cpu_seconds(server)
    done = subprocess.run(
        [sys.executable, "-m", "bench.ingest", "--turn", what, str(folder), as_of],
        env={
            **services.environment(settings),
            "STREAMFLOW_DATABASE__NAME": settings.database.name,
            "PYTHONPATH": str(_ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{what} failed: {done.stderr.strip()[-800:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    figures["postgres_cpu_seconds"] = round(cpu_seconds(server) - before, 3)
    return figures


def _timed(what: str, folder: Path, as_of: date) -> Figures:
    """Copy or ingest a drop in this process."""
    from streamflow.jobs.ingest import ingest_folder
    from streamflow.repo import definitions

    settings = load()
    tables = definitions.load(settings.feast.repo).tables
    began, spent = time.perf_counter(), time.process_time()
    if what == "copy":
        _copy(settings, tables, folder)
    else:
        ingest_folder(settings, folder, as_of)
    return {
        "seconds": round(time.perf_counter() - began, 3),
        "cpu_seconds": round(time.process_time() - spent, 3),
        "peak_mib": round(batch.peak_mib(), 1),
    }


def _copy(settings: Settings, tables: Any, folder: Path) -> None:
    from streamflow.drops.tables import column_definitions

    with batch.connect(settings, settings.database.name) as connection, connection.transaction():
        connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        connection.execute(f"CREATE SCHEMA {_SCHEMA}")
        for table in tables:
            name = quote(_SCHEMA, table.name)
            connection.execute(f"CREATE TABLE {name} ({column_definitions(table)})")
            statement = f"COPY {name} FROM STDIN (FORMAT csv, HEADER)"
            with (
                (folder / f"{table.name}.csv").open("rb") as file,
                connection.cursor().copy(statement) as copy,
            ):
                while block := file.read(_BLOCK):
                    copy.write(block)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[Settings, int]]:
    """Run PostgreSQL alone, as a local stack does."""
    with home.choosing_ports():
        data = folder / "data"
        own = postgres.Server(data, home.free_port(15632), "streamflow", "bench", folder / "postgres.log")
        postgres.create(own)
        process = postgres.start(own)
    try:
        database = {"host": "127.0.0.1", "port": own.port, "user": own.user, "password": own.password}
        own_home = home.make(folder / "home")
        erasure = {"key_file": home.erasure_key(own_home)}
        feast = {"repo": _ROOT / "feature_repo"}
        yield load(home=own_home, feast=feast, database=database, erasure=erasure), process.pid
    finally:
        postgres.shut_down(process)


def main() -> None:
    """Measure with a PostgreSQL of its own, or take one turn in this process."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest")
    parser.add_argument("--users", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turn", nargs=3, metavar=("WHAT", "FOLDER", "AS_OF"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        what, folder, as_of = options.turn
        figures = _timed(what, Path(folder), date.fromisoformat(as_of))
    else:
        for name in list(os.environ):
            if name.startswith(("STREAMFLOW_", "PG")):
                del os.environ[name]
        with (
            tempfile.TemporaryDirectory(prefix="streamflow-bench-") as own,
            _server(Path(own)) as (settings, pid),
        ):
            figures = measured(settings, pid, options.users, options.rounds)
    sys.stdout.write(json.dumps(figures, indent=None if options.turn else 2) + "\n")


if __name__ == "__main__":
    main()

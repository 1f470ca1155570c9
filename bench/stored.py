"""Measure what drops take in PostgreSQL, and what old months cost a query of the newest: `python -m bench.stored`.

Prints JSON. The months are one simulated drop under several dates.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from streamflow import settings as settings_module
from streamflow.drops.load import Into, load
from streamflow.drops.rows import InTables
from streamflow.local import home, postgres
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres.engine import engine, transaction
from streamflow.postgres.newest import per_entity
from streamflow.repo import definitions
from streamflow.schema.migrate import migrate
from streamflow.settings import Settings
from streamflow.times import midnight

ROOT = Path(__file__).resolve().parents[1]
_SIZES = (
    "SELECT coalesce(sum(pg_relation_size(oid)) FILTER (WHERE relkind = 'r'), 0)::bigint AS tables,"
    " coalesce(sum(pg_relation_size(oid)) FILTER (WHERE relkind = 'i'), 0)::bigint AS indexes,"
    " coalesce(sum(pg_total_relation_size(oid)) FILTER (WHERE relkind = 'r'), 0)::bigint AS total"
    " FROM pg_class WHERE relnamespace = CAST('source' AS regnamespace)"
)


@contextlib.contextmanager
def _database(folder: Path) -> Iterator[Settings]:
    """A server of its own, with the project's feature repo applied."""
    from streamflow.apply import apply

    password = secrets.token_hex(8)
    with home.choosing_ports():
        server = postgres.Server(
            folder=folder / "postgres",
            port=home.free_port(15440),
            user="streamflow",
            password=password,
            log=folder / "log",
        )
        postgres.create(server)
        process = postgres.start(server)
    database = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "password": password,
        "name": "postgres",
        "sslmode": "disable",
    }
    settings = settings_module.load(
        home=folder / "home", database=database, feast={"repo": ROOT / "feature_repo"}
    )
    try:
        migrate(settings.database)
        apply(settings)
        yield settings
    finally:
        engine(settings.database).dispose()
        postgres.shut_down(process)


def _cpu_of_server(settings: Settings) -> float:
    """CPU seconds of this process's sessions so far."""
    with transaction(settings.database) as connection:
        number = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    times = psutil.Process(number).cpu_times()
    return float(times.user + times.system)


def stored(settings: Settings, folder: Path, users: int) -> dict[str, Any]:
    """Load a drop; return its bytes as CSV and in PostgreSQL, and the CPU seconds of its load."""
    repo = definitions.load(settings.feast.repo)
    (drop,) = simulate(settings.feast.repo, folder / f"drops-{users}", Simulation(users=users, months=1))
    csv = sum(file.stat().st_size for file in drop.folder.glob("*.csv"))
    before, server = psutil.Process().cpu_times(), _cpu_of_server(settings)
    load(Into(settings.database, InTables()), settings.ingest, repo, drop.folder, drop.as_of, "bench")
    after = psutil.Process().cpu_times()
    with transaction(settings.database) as connection:
        sizes = connection.execute(sa.text(_SIZES)).one()._asdict()
    return {
        "users": users,
        "csv_bytes": csv,
        "stored_bytes": int(sizes["total"]),
        "table_bytes": int(sizes["tables"]),
        "index_bytes": int(sizes["indexes"]),
        "ratio": round(sizes["total"] / csv, 3),
        "server_cpu_s": round(_cpu_of_server(settings) - server, 2),
        "client_cpu_s": round(after.user + after.system - before.user - before.system, 2),
    }


def _dates(months: int) -> list[date]:
    return [date(2021 + number // 12, 1 + number % 12, 1) for number in range(months)]


def read_costs(settings: Settings, folder: Path, users: int, months: int) -> dict[str, Any]:
    """Load months one by one; return what the newest one and a person's history cost with 2 of them and with all."""
    repo = definitions.load(settings.feast.repo)
    (drop,) = simulate(
        settings.feast.repo,
        folder / f"months-{users}",
        Simulation(users=users, months=1, first_as_of=date(2020, 1, 31)),
    )
    found: dict[str, Any] = {}
    for number, day in enumerate(_dates(months), start=1):
        load(Into(settings.database, InTables()), settings.ingest, repo, drop.folder, day, "bench")
        if number in (2, months):
            found[str(number)] = _costs(settings, day)
    return {"users": users, "months": found}


def _costs(settings: Settings, newest: date) -> dict[str, Any]:
    moment = midnight(newest).isoformat()
    view = "features.usage_agg_30d_snapshots"
    month = f"as_of = TIMESTAMPTZ '{moment}'"
    window = f"as_of BETWEEN TIMESTAMPTZ '{moment}' - interval '20 days' AND TIMESTAMPTZ '{moment}'"
    known = "loaded_at <= now()"
    queries = {
        "newest_month": f"SELECT watch_hours_30d FROM {view} WHERE {month} AND {known}",
        "newest_per_user": per_entity(
            ["*"], view, ["user_id"], ["as_of", "loaded_at"], f"{window} AND {known}"
        ),
        "history_of_a_person": f"SELECT * FROM {view} WHERE user_id = (SELECT min(user_id) FROM {view} WHERE {month})",
    }
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
        return {name: _cost(connection, query) for name, query in queries.items()}


def _cost(connection: sa.Connection, query: str) -> dict[str, float]:
    for _ in range(2):
        (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {query}").scalar_one()
    blocks = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return {
        "buffers": blocks,
        "planning_ms": round(plan["Planning Time"], 2),
        "execution_ms": round(plan["Execution Time"], 2),
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.stored")
    parser.add_argument("--users", type=int, default=100_000, help="users of the drop whose size is measured")
    parser.add_argument("--months", type=int, default=0, help="months of history to measure; 0 for none")
    parser.add_argument("--month-users", type=int, default=20_000, help="users of each of these months")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="streamflow-bench-") as name:
        folder = Path(name)
        # PostgreSQL may run as another user.
        folder.chmod(0o755)
        with _database(folder) as settings:
            found |= stored(settings, folder, options.users)
        if options.months:
            (folder / "history").mkdir()
            with _database(folder / "history") as settings:
                found["history"] = read_costs(
                    settings, folder / "history", options.month_users, options.months
                )
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Measure materialization, scoring and cold start, each in a separate process.

`python -m bench.batch materialize|score` prints entities, seconds, CPU seconds and peak memory as JSON.
Imports are not timed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.measure import BenchError, Figures
from streamflow.local import home, processes, services, stack
from streamflow.postgres import drop_numbers
from streamflow.postgres.engine import engine, transaction
from streamflow.postgres.names import quote
from streamflow.settings import Settings

_DROP = "bench"
_READY_SECONDS = 60.0


@contextlib.contextmanager
def database_of(settings: Settings, users: int) -> Iterator[Settings]:
    """Create a database with one drop of `users` users: the sample's newest rows, repeated under new keys."""
    from streamflow.apply import apply
    from streamflow.schema.migrate import migrate

    name = f"bench_{users}"
    big = settings.model_copy(update={"database": settings.database.model_copy(update={"name": name})})
    with connect(settings, "postgres") as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        migrate(big.database)
        apply(big)
        _multiply(settings, big, users)
        yield big
    finally:
        engine(big.database).dispose()
        with connect(settings, "postgres") as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def connect(settings: Settings, name: str) -> psycopg.Connection[Any]:
    """Connect to a database of the settings' server, outside any transaction."""
    database = settings.database
    return psycopg.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.secret,
        dbname=name,
        autocommit=True,
    )


def _multiply(source: Settings, target: Settings, users: int) -> None:
    from streamflow.repo import definitions

    with connect(source, source.database.name) as out, connect(target, target.database.name) as into:
        number = drop_numbers.of(date(2024, 2, 29), 1)
        into.execute(
            "INSERT INTO streamflow.drops VALUES"
            f" ('{_DROP}', '2024-02-29+00', 1, '', clock_timestamp(), 'bench', 'bench', {users}, 0)"
        )
        for table in definitions.load(source.feast.repo).tables:
            columns = ", ".join(quote(column.name) for column in table.columns)
            into.execute(f"CREATE TEMP TABLE sample AS SELECT * FROM source.{quote(table.name)} LIMIT 0")
            select = (
                f"SELECT * FROM source.{quote(table.name)} t"
                f" WHERE drop_number = (SELECT max(drop_number) FROM source.{quote(table.name)})"
            )
            into.execute("SELECT source.add_partition(%s, %s)", (table.name, number))
            with (
                out.cursor().copy(f"COPY ({select}) TO STDOUT") as rows,
                into.cursor().copy("COPY sample FROM STDIN") as copy,
            ):
                for block in rows:
                    copy.write(block)
            held = into.execute("SELECT count(*) FROM sample").fetchone()
            into.execute(
                f"INSERT INTO source.{quote(table.name)} ({quote(table.key)}, {columns}, drop_number)"
                f" SELECT 'user-' || to_char(n, 'FM00000000'), {columns}, {number}"
                f" FROM generate_series(1, {users}) n JOIN"
                f" (SELECT *, row_number() OVER (ORDER BY {quote(table.key)}) AS i FROM sample) s"
                f" ON s.i = n % {held[0] if held else 1} + 1 ORDER BY n"
            )
            into.execute("DROP TABLE sample")
            into.execute(f"VACUUM ANALYZE source.{quote(table.name)}")
        into.execute("CHECKPOINT")


def release_into(source: Settings, target: Settings, version: int) -> None:
    """Promote a version in a database of the stack other than the one that it was trained on."""
    from bench.world import ALIASES
    from streamflow.registry import releases
    from streamflow.registry.promote import promote

    model = source.mlflow.registered_model
    with connect(source, source.database.name) as connection:
        found = connection.execute(
            "SELECT manifest_sha256, run_id, split_digest FROM streamflow.trained_models WHERE model = %s",
            [model],
        ).fetchall()
    with transaction(target.database) as into:
        for manifest_sha256, run_id, split_digest in found:
            releases.record_trained(into, model, manifest_sha256, run_id, split_digest)
    for alias in ALIASES:
        promote(target.backends, version, alias, why="benchmark", by="bench")


def in_process(settings: Settings, what: str) -> Figures:
    """Run `materialize` or `score` in a separate process; return its figures.

    Raises:
        BenchError: The process failed.
    """
    environment = {
        **services.environment(settings),
        "STREAMFLOW_DATABASE__NAME": settings.database.name,
        "PYTHONPATH": os.getcwd(),  # noqa: PTH109
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.batch", what],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{what} failed: {done.stderr.strip()[-800:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    figures["per_s"] = round(figures["entities"] / figures["seconds"], 1)
    return figures


@contextlib.contextmanager
def predict_of(settings: Settings) -> Iterator[tuple[processes.Running, int]]:
    """Run another predict process on a database; yield the process and its port once it is ready."""
    variables = services.http_services(settings)["predict"].variables
    with home.choosing_ports():
        port = home.free_port(18200)
        began = time.perf_counter()
        process = processes.launch(
            (sys.executable, "-m", "streamflow", "serve", "predict"),
            log=stack.log_of(settings.home, "another-predict"),
            port=port,
            environment={
                **services.environment(settings),
                **variables,
                "STREAMFLOW_DATABASE__NAME": settings.database.name,
                "STREAMFLOW_PREDICT__PORT": str(port),
            },
        )
        try:
            while not services.answers(f"http://127.0.0.1:{port}/readyz"):
                if not processes.alive(process) or time.perf_counter() - began > _READY_SECONDS:
                    raise BenchError("predict did not start.")
                time.sleep(0.01)
            yield process, port
        finally:
            processes.stop(process, first=signal.SIGTERM, grace_seconds=5)


def cold_start(settings: Settings) -> float:
    """Seconds from the start of predict to its first 200 at /readyz, with the model already in its cache."""
    began = time.perf_counter()
    with predict_of(settings):
        return time.perf_counter() - began


def _main(what: str) -> None:
    from streamflow import settings as settings_module
    from streamflow.jobs.materialize import materialize
    from streamflow.jobs.score import score_as_of

    settings = settings_module.load()
    began, spent = time.perf_counter(), time.process_time()
    entities = (
        score_as_of(settings).scored if what == "score" else min(v.rows for v in materialize(settings).views)
    )
    seconds = time.perf_counter() - began
    figures = {
        "entities": entities,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(time.process_time() - spent, 3),
        "peak_mib": round(peak_mib(), 1),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def peak_mib() -> float:
    """Peak resident memory of this process. Not from getrusage, which includes the parent's before exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    _main(sys.argv[1])

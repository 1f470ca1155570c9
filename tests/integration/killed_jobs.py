"""Jobs as processes that are killed: each works on a copy of a database, and what it left is compared by digests."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
import pytest

from database_contents import digests

PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Job:
    """A job to kill.

    Attributes:
        command: Arguments of the interpreter.
        schemas: Schemas that it writes.
        ignored: Relations that say what happened to runs, and not what came of them.
        variables: Further environment variables.
    """

    command: tuple[str, ...]
    schemas: tuple[str, ...]
    ignored: tuple[str, ...] = (
        "job_runs",
        "job_starts",
        "given_stamps",
        "known_schemas",
        "materializations",
        "release_checks",
        "mlflow_in_line",
    )
    variables: Mapping[str, str] = field(default_factory=dict)


def streamflow(*arguments: str) -> tuple[str, ...]:
    """Arguments of the interpreter that run the program."""
    return ("-m", "streamflow", *arguments)


def connected(server, name, *, autocommit=False):
    """A connection to a database of the server, as its superuser."""
    return psycopg.connect(
        host="127.0.0.1",
        port=server.port,
        user=server.user,
        password=server.password,
        dbname=name,
        autocommit=autocommit,
    )


def administrator(server, statement):
    """Run a statement outside the databases that it is about."""
    with connected(server, "postgres", autocommit=True) as connection:
        connection.execute(statement)


def copy(server, template, name, pool):
    """Make a database anew as a copy of another one, to which nobody may be connected."""
    pool.dispose()
    # Feast's registry leaves its pool to the garbage collector.
    gc.collect()
    alone(server, template)
    administrator(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    administrator(server, f"CREATE DATABASE {name} TEMPLATE {template}")


def contents(server, name, job):
    """Digest of the columns that do not vary, of each relation that the job writes."""
    with connected(server, name) as connection:
        return digests(connection, job.schemas, job.ignored)


def run(settings, name, port, job, relay=None):
    """Run the job on a database through a port; return its exit code and output."""
    process = subprocess.Popen(
        [sys.executable, *job.command],
        env={
            **os.environ,
            "STREAMFLOW_HOME": str(settings.home),
            "STREAMFLOW_DATABASE__NAME": name,
            "STREAMFLOW_DATABASE__PORT": str(port),
            **job.variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if relay is not None:
        relay.pid = process.pid
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, output


def alone(server, name):
    """Wait until nobody is connected to a database."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with connected(server, "postgres") as connection:
            others = connection.execute(
                "SELECT pid, state, query FROM pg_stat_activity WHERE datname = %s", (name,)
            ).fetchall()
        if not others:
            return
        time.sleep(0.05)
    pytest.fail(f"somebody is still connected to {name}: {others}")


def spread(statements, points):
    """Numbers of statements, evenly spread from the first to the last; a single one lies in the middle. Pure."""
    if points == 1:
        return [(statements + 1) // 2]
    return sorted({round(1 + (statements - 1) * n / (points - 1)) for n in range(points)})

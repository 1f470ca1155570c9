"""SIGKILL of a job at any of its statements: nothing half is seen, and the repetition ends as an undisturbed run.

Each case works on a copy of one prepared database. A relay counts the statements and kills the process at one of them:
just before PostgreSQL gets it, or just after. In `.ci/run` three points a job, in `make faults` twenty.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from statement_relay import relaying

from streamflow import settings as settings_module
from streamflow.jobs.ingest import ingest_folder
from streamflow.local import home as homes
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres.engine import engine

pytestmark = [pytest.mark.postgres, pytest.mark.stack]

POINTS = 20 if os.environ.get("VERDICTS") is not None else 3
PATIENCE_SECONDS = 120
# Dates and numbers differ from run to run; a relation is compared without the columns that have such names.
VARYING = re.compile(
    r"(_at|seconds|hash|facts|materialization_id|scoring_id|quarantine_id|run_id|transaction|stamp)$|^visible"
)


@dataclass(frozen=True)
class Job:
    """A job to kill.

    Attributes:
        command: Arguments of `streamflow`.
        schemas: Schemas that it writes.
        ignored: Relations that say what happened to runs, and not what came of them.
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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, postgres_server, mlflow_server, simulated):
    """Three months, all but the last materialized, a version in production; and a fourth month to load."""
    from streamflow.registry.promote import promote

    folder = tmp_path_factory.mktemp("prepared")
    database = simulated.database.model_copy(update={"name": "killed_prepared"})
    copy(postgres_server, simulated.database.name, database.name, engine(simulated.database))
    fields = {"database": database.model_dump(), "mlflow": simulated.mlflow.model_dump()}
    made_home = homes.make(folder / "home")
    homes.write_addresses(
        made_home,
        {
            **database.variables,
            "STREAMFLOW_MLFLOW__TRACKING_URI": mlflow_server,
            "STREAMFLOW_MLFLOW__EXPERIMENT": simulated.mlflow.experiment,
            "STREAMFLOW_MLFLOW__REGISTERED_MODEL": simulated.mlflow.registered_model,
            "STREAMFLOW_FEAST__REPO": str(simulated.feast.repo),
        },
    )
    made = settings_module.load(home=made_home, **fields, feast=simulated.feast.model_dump())
    for alias in ("staging", "production"):
        promote(made.backends, 1, alias, why="a test", by="tests")
    drops = simulate(made.feast.repo, folder / "drops", Simulation(users=500, months=4))
    ingest_folder(made, drops[2].folder, drops[2].as_of)
    return made, drops


def administrator(server, statement):
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=server.password, dbname="postgres",
        autocommit=True,
    ) as connection:  # fmt: skip
        connection.execute(statement)


def copy(server, template, name, pool):
    """Make a database anew as a copy of another one, to which nobody may be connected."""
    pool.dispose()
    alone(server, template)
    administrator(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    administrator(server, f"CREATE DATABASE {name} TEMPLATE {template}")


def contents(server, name, job):
    """Digest of the columns that do not vary, of each relation that the job writes."""
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=server.password, dbname=name
    ) as connection:
        columns = connection.execute(
            "SELECT t.table_schema, t.table_name, array_agg(c.column_name::text ORDER BY c.ordinal_position)"
            " FROM information_schema.tables t JOIN information_schema.columns c USING (table_schema, table_name)"
            " WHERE t.table_schema = ANY(%s) AND t.table_type = 'BASE TABLE' GROUP BY 1, 2 ORDER BY 1, 2",
            (list(job.schemas),),
        ).fetchall()
        found = {}
        for schema, table, names in columns:
            kept = [f'"{each}"' for each in names if not VARYING.search(each)]
            if table in job.ignored or not kept:
                continue
            rows = f"SELECT {', '.join(kept)} FROM {schema}.{table}"
            found[f"{schema}.{table}"] = connection.execute(
                f"SELECT count(*), md5(string_agg(r::text, E'\\n' ORDER BY r::text)) FROM ({rows}) r"
            ).fetchone()
        return found


def run(settings, name, port, job, relay=None):
    """Run the job on a database through a port; return its exit code and output."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("streamflow"), *job.command],
        env={
            **os.environ,
            "STREAMFLOW_HOME": str(settings.home),
            "STREAMFLOW_DATABASE__NAME": name,
            "STREAMFLOW_DATABASE__PORT": str(port),
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
        with psycopg.connect(
            host="127.0.0.1", port=server.port, user=server.user, password=server.password, dbname="postgres"
        ) as connection:
            others = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)
            ).fetchone()
        if others == (0,):
            return
        time.sleep(0.05)
    pytest.fail(f"somebody is still connected to {name}")


def job_of(kind, drops):
    return {
        "ingest": Job(("ingest", str(drops[3].folder)), ("source", "streamflow")),
        "materialize": Job(("materialize",), ("online",)),
        "score": Job(("jobs", "exec", "score"), ("streamflow",)),
        "promote": Job(
            ("models", "promote", "2", "--to", "staging", "--despite-gate", "--why", "a test", "--by", "ada"),
            ("streamflow",),
        ),
    }[kind]


@pytest.mark.fault("F13", "F16")
@pytest.mark.parametrize("kind", ["ingest", "materialize", "score", "promote"])
def test_a_job_killed_at_any_statement_ends_as_if_undisturbed(prepared, postgres_server, kind, verdict):
    settings, drops = prepared
    job = job_of(kind, drops)
    name = f"killed_{kind}"
    pool = engine(settings.database)
    copy(postgres_server, settings.database.name, name, pool)
    before = contents(postgres_server, name, job)
    with relaying(postgres_server.port) as relay:
        code, output = run(settings, name, relay.port, job)
    assert code == 0, output
    after, statements = contents(postgres_server, name, job), relay.seen
    assert after != before
    assert statements > 3
    points = {round(1 + (statements - 1) * n / (POINTS - 1)) for n in range(POINTS)}
    partly = set()
    for number, point in enumerate(sorted(points)):
        copy(postgres_server, settings.database.name, name, pool)
        with relaying(postgres_server.port, point, before=number % 2 == 0) as relay:
            code, output = run(settings, name, relay.port, job, relay)
        assert (code, relay.killed) == (-signal.SIGKILL, True), (point, output)
        alone(postgres_server, name)
        seen = contents(postgres_server, name, job)
        if seen not in (before, after):
            partly.add(point)
        code, output = run(settings, name, postgres_server.port, job)
        # Killed after its last statement, a promotion is done, which the second one says.
        assert code == 0 or (kind == "promote" and "already" in output), (point, output)
        assert contents(postgres_server, name, job) == after, point
    administrator(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")
    verdict(**{f"{kind}_statements": statements, f"{kind}_kills": len(points)})
    # Each of these writes in one transaction; a promotion also keeps what the check and the files of the release are.
    assert kind == "promote" or not partly

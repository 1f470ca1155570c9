"""Ingest and materialize killed with SIGKILL change nothing, and the next run completes.

A lock that the test takes stops the process at a known step, so the result does not depend on timing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamflow.apply import apply
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres.engine import engine, transaction

PATIENCE_SECONDS = 120
VIEWS = ("subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv")


def rows(settings, schemas):
    """Digest of the rows of each table in the schemas."""
    with transaction(settings.database) as connection:
        tables = connection.execute(
            sa.text(
                "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables"
                " WHERE table_schema = ANY(:schemas) AND table_type = 'BASE TABLE' ORDER BY 1"
            ),
            {"schemas": schemas},
        ).scalars()
        digest = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} t"
        return {name: connection.exec_driver_sql(digest.format(name)).scalar_one() for name in tables.all()}


def kill_at(settings, lock, command):
    """Run a command, kill it once it waits for the lock, and wait until PostgreSQL has ended its session."""
    with engine(settings.database).connect() as holder:
        holder.exec_driver_sql(f"LOCK TABLE {lock}")
        mine = holder.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        process = subprocess.Popen(
            [Path(sys.executable).with_name("streamflow"), *command],
            env={**os.environ, "STREAMFLOW_HOME": str(settings.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            waits = until(lambda: waiting(settings, mine) or process.poll() is not None)
            assert waits and process.poll() is None, process.stdout.read()
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        holder.rollback()
    assert process.returncode == -signal.SIGKILL
    until(lambda: not others(settings))


def waiting(settings, holder):
    """Whether another connection waits for a lock of the connection `holder`."""
    with transaction(settings.database) as connection:
        return connection.execute(
            sa.text("SELECT count(*) FROM pg_stat_activity WHERE :holder = ANY(pg_blocking_pids(pid))"),
            {"holder": holder},
        ).scalar_one()


def others(settings):
    """Whether another connection holds a lock in this database, as an open transaction does."""
    with transaction(settings.database) as connection:
        return connection.exec_driver_sql(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE a.datname = current_database() AND pid <> pg_backend_pid()"
        ).scalar_one()


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.02)
    return found


@pytest.fixture
def drops(settings, tmp_path):
    apply(settings)
    return simulate(settings.feast.repo, tmp_path / "drops", Simulation(users=200, months=2, seed=3))


@pytest.mark.fault("F16")
@pytest.mark.parametrize(
    "step",
    [
        pytest.param("streamflow.drops IN SHARE MODE", id="before-the-ledger"),
        pytest.param("source.usage_agg_30d IN SHARE MODE", id="between-two-tables"),
        pytest.param("streamflow.quarantine IN SHARE MODE", id="before-the-commit"),
    ],
)
def test_a_killed_ingest_leaves_the_database_as_it_was(settings, drops, step):
    ingest_folder(settings, drops[0].folder, drops[0].as_of)
    before = rows(settings, ["source", "streamflow"])
    kill_at(settings, step, ["ingest", str(drops[1].folder)])
    assert rows(settings, ["source", "streamflow"]) == before
    outcome = ingest_folder(settings, drops[1].folder, drops[1].as_of)
    assert outcome.changed
    assert not ingest_folder(settings, drops[1].folder, drops[1].as_of).changed
    with transaction(settings.database) as connection:
        stored = connection.exec_driver_sql("SELECT count(*) FROM source.labels").scalar_one()
    assert stored == 400


@pytest.mark.fault("F13")
def test_a_killed_materialization_shows_nothing_and_the_next_one_completes(settings, drops):
    for drop in drops:
        ingest_folder(settings, drop.folder, drop.as_of)
    materialize(settings, drops[0].as_of)
    before = rows(settings, ["online"])
    steps = ("usage_agg_30d_fv IN ACCESS EXCLUSIVE MODE", "support_agg_90d_fv IN ACCESS SHARE MODE")
    for step in steps:
        kill_at(settings, f"online.{step}", ["materialize"])
        assert rows(settings, ["online"]) == before
    materialize(settings)
    with transaction(settings.database) as connection:
        for view in VIEWS:
            newest = f"SELECT count(*) FROM online.{view} WHERE event_timestamp = '2024-02-29+00'"
            assert connection.exec_driver_sql(newest).scalar_one() == 200

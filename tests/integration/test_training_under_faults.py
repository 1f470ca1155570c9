"""A training that is killed, or has no disk left, changes nothing and is seen. On real processes and disks."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa
from exported import by_label

from small_disks import filled, mounted
from streamflow.apply import apply
from streamflow.jobs import catalog
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.run import run
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres import locks
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import Idle
from streamflow.registry import trail, versions

pytestmark = pytest.mark.postgres
PATIENCE_SECONDS = 120.0


def killed(settings):
    """The exporter's metric, by job."""
    return by_label(settings, "streamflow_job_killed", "job_name")


def test_a_run_at_work_is_not_killed_and_one_that_failed_neither(settings):
    seen = []
    assert run(settings, "audit", lambda s: seen.append(killed(s)) or Idle("nothing")) == 0
    assert run(settings, "audit", lambda s: 1 / 0) == 1
    assert (seen, killed(settings)) == ([{}], {"audit": 0.0})


def test_a_run_that_was_at_work_when_a_backup_was_made_is_not_killed_after_the_restore(settings):
    begun = "INSERT INTO streamflow.job_starts (job, started_at) VALUES ('backup', now() - interval '1 hour')"
    restored = (
        "INSERT INTO streamflow.promotions (moved_at, moved_by, model, alias, action, why)"
        " VALUES (now(), 'me', 'm', 'production', 'restore', 'lost')"
    )
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(begun)
    assert killed(settings) == {"backup": 1.0}
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(restored)
    assert killed(settings) == {}


@pytest.fixture(scope="module")
def stack(module_settings, mlflow_server, tmp_path_factory):
    """Three months; the first is trained on, and its version is in production. Each test takes in the next."""
    mlflow = module_settings.mlflow.model_copy(update={"tracking_uri": mlflow_server})
    settings = module_settings.model_copy(update={"mlflow": mlflow})
    apply(settings)
    folder = tmp_path_factory.mktemp("drops") / "drops"
    months = iter(simulate(settings.feast.repo, folder, Simulation(users=300, months=3)))
    take_in(settings, months)
    assert run(settings, "train", catalog.recipe("train")) == 0
    assert trail.targets(settings.database, settings.mlflow.registered_model)["production"] == 1
    return settings, months


def take_in(settings, months):
    drop = next(months)
    ingest_folder(settings, drop.folder, drop.as_of)


def train(settings, **variables):
    """The program of the CronJob `train`."""
    return subprocess.Popen(
        [sys.executable, "-m", "streamflow", "jobs", "exec", "train"],
        env={
            **os.environ,
            "STREAMFLOW_HOME": str(settings.home),
            "STREAMFLOW_MLFLOW__TRACKING_URI": settings.mlflow.tracking_uri,
            **variables,
        },
        stderr=subprocess.PIPE,
    )


def told(process):
    """Exit code of a run, and its log."""
    log = process.communicate(timeout=PATIENCE_SECONDS)[1].decode()
    return process.returncode, log


def versions_of(settings):
    return {each.version for each in versions.list_versions(settings.mlflow)}


def is_at_work(settings):
    """Whether a training reads its data: it has opened a schema of views for it."""
    with transaction(settings.database) as connection:
        found = connection.execute(sa.text("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'known%'"))
        return bool(found.scalar_one())


@pytest.mark.load
@pytest.mark.fault("F23")
def test_a_training_that_is_killed_leaves_production_and_the_lock_and_is_seen(stack, verdict):
    settings, months = stack
    model = settings.mlflow.registered_model
    take_in(settings, months)
    before = trail.targets(settings.database, model)
    known = versions_of(settings)
    assert killed(settings)["train"] == 0

    process = train(settings)
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_at_work(settings):
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.communicate()
    # PostgreSQL ends the session when it notices that the client is gone.
    while not killed(settings)["train"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert trail.targets(settings.database, model) == before
    with locks.held_if_free(settings.database, locks.of_job("train")) as locked:
        assert locked is not None

    code, log = told(train(settings))
    assert code == 0, log
    assert killed(settings)["train"] == 0
    made = versions_of(settings) - known
    assert len(made) == 1
    verdict(production=before["production"], next_run=code, versions_of_the_next_run=len(made))


@pytest.mark.fault("F22")
@pytest.mark.load
def test_without_room_for_artifacts_or_temporary_files_no_version_is_half_made(
    stack, mlflow_artifacts, tmp_path, verdict
):
    settings, months = stack
    model = settings.mlflow.registered_model
    take_in(settings, months)
    before, known = trail.targets(settings.database, model), versions_of(settings)

    with mounted(tmp_path / "small", 1) as small, filled(small, 4096):
        without_temporary, log = told(train(settings, TMPDIR=str(small)))
    assert without_temporary == 4, log
    assert f"The disk of {small} is full." in log
    with mounted(mlflow_artifacts, 1) as disk, filled(disk, 4096):
        without_artifacts, log = told(train(settings))
    assert without_artifacts == 4, log
    assert "The disk of MLflow's artifacts is full." in log
    half_made = versions_of(settings) - known
    assert (trail.targets(settings.database, model), half_made) == (before, set())

    code, log = told(train(settings))
    assert code == 0, log
    [made] = versions_of(settings) - known
    assert trail.targets(settings.database, model)["staging"] == made
    verdict(
        exit_without_artifacts=without_artifacts,
        exit_without_temporary=without_temporary,
        half_made=len(half_made),
    )

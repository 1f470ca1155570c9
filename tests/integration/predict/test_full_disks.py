"""Full disks of PostgreSQL, of temporary files and of backups: refused whole, nothing lost, and the disk is named.

PostgreSQL runs on a disk of its own, with a copy of the simulated months.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess

import psycopg
import pytest
import sqlalchemy as sa
from dotenv import dotenv_values

from small_disks import filled, mounted
from streamflow import settings as settings_module
from streamflow.errors import DiskFull, StreamFlowError
from streamflow.jobs import backup
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.run import run
from streamflow.local import home, postgres, processes
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres.engine import engine, transaction

pytestmark = pytest.mark.postgres
DISK_MEGABYTES = 192
TABLES = (
    "source.users",
    "source.labels",
    "streamflow.drops",
    "online.usage_agg_30d_fv",
    "streamflow.promotions",
)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    with mounted(tmp_path_factory.mktemp("small") / "disk", DISK_MEGABYTES) as folder:
        yield folder


@pytest.fixture(scope="module")
def server(disk, tmp_path_factory):
    """A PostgreSQL server on the small disk."""
    with home.choosing_ports():
        log = tmp_path_factory.mktemp("log") / "postgres.log"
        made = postgres.Server(disk / "data", home.free_port(15700), "streamflow", "p", log)
        postgres.create(made)
        process = postgres.start(made)
    running = [process]
    try:
        yield made, running
    finally:
        postgres.shut_down(running[-1])


@pytest.fixture(scope="module")
def small(server, simulated, production, tmp_path_factory):
    """Settings of a copy of the simulated database, with version 1 in production."""
    server = server[0]
    production(simulated, 1)
    there = {**os.environ, "PGPASSWORD": server.password}
    here = {**os.environ, "PGPASSWORD": simulated.database.secret}
    file = tmp_path_factory.mktemp("copy") / "copy.dump"
    source = ["-h", "127.0.0.1", "-p", str(simulated.database.port), "-U", simulated.database.user]
    target = ["-h", "127.0.0.1", "-p", str(server.port), "-U", server.user]
    dump = [postgres.binary("pg_dump"), *source, "-Fc", "-f", str(file), simulated.database.name]
    subprocess.run(dump, env=here, check=True, timeout=60)
    subprocess.run([postgres.binary("createdb"), *target, "copy"], env=there, check=True, timeout=60)
    restore = [postgres.binary("pg_restore"), *target, "--no-owner", "-d", "copy", str(file)]
    subprocess.run(restore, env=there, check=True, timeout=60)
    database = {"port": server.port, "user": server.user, "password": server.password, "name": "copy"}
    made_home = home.make(tmp_path_factory.mktemp("home") / "home")
    changed = {f"STREAMFLOW_DATABASE__{name.upper()}": str(value) for name, value in database.items()}
    home.write_addresses(made_home, {**dotenv_values(simulated.home / "stack.env"), **changed})
    made = settings_module.load(home=made_home)
    yield made
    engine(made.database).dispose()


@pytest.fixture(scope="module")
def third_month(small, tmp_path_factory):
    """A month that is not ingested yet; the two before it are those that were simulated."""
    folder = tmp_path_factory.mktemp("third") / "drops"
    return simulate(small.feast.repo, folder, Simulation(users=4000, months=3))[2]


def rows(settings):
    """A digest of each table."""
    with transaction(settings.database) as connection:
        return {
            table: connection.execute(
                sa.text(
                    f"SELECT count(*), md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {table} t"
                )
            ).one()
            for table in TABLES
        }


@pytest.mark.fault("F22")
def test_a_full_disk_of_postgresql_refuses_whole_and_predict_answers(
    small, disk, start, users, third_month, verdict
):
    before = rows(small)
    with start(small, path="/readyz", STREAMFLOW_PREDICT__LOG_SHARE="1") as service:
        assert service.predict(users[0]).status_code == 200
        with filled(disk, 65536):
            with pytest.raises(
                DiskFull, match=rf"The disk of PostgreSQL at .*:{small.database.port} is full"
            ):
                ingest_folder(small, third_month.folder, third_month.as_of)
            codes = [service.predict(user).status_code for user in users[:50]]
            ready = service.client.get("/readyz").status_code
        assert (set(codes), ready) == ({200}, 200)
        assert rows(small) == before
        assert ingest_folder(small, third_month.folder, third_month.as_of).changed
        with filled(disk, 65536), pytest.raises(DiskFull):
            materialize(small)
        online = rows(small)["online.usage_agg_30d_fv"]
        assert online == before["online.usage_agg_30d_fv"]
        materialize(small)
        assert rows(small)["online.usage_agg_30d_fv"] != online
        assert service.predict(users[0]).status_code == 200
    for line in service.log.read_text(encoding="utf-8").splitlines():
        json.loads(line)
    verdict(predictions_while_full=codes.count(200))


@pytest.mark.fault("F22")
@pytest.mark.load
def test_postgresql_without_room_for_its_log_loses_no_committed_row(
    small, server, disk, start, users, verdict
):
    with start(small, path="/readyz") as service:
        before = rows(small)
        version = service.version()
        committed = 0
        with filled(disk):
            with contextlib.suppress(psycopg.Error):
                while committed < 1000:
                    with psycopg.connect(small.database.url("postgresql")) as connection:
                        connection.execute(
                            "SELECT pg_logical_emit_message(true, 'filling', repeat('x', 500000))"
                        )
                    committed += 1
            assert committed < 1000, "the disk did not fill"
            with pytest.raises(StreamFlowError, match=r"PostgreSQL at|disk of PostgreSQL"):
                rows(small)
            codes = {service.predict(user).status_code for user in users[:20]}
            assert codes <= {200, 503}
        # Kubernetes starts a container again that has ended.
        if not processes.alive(server[1][-1]):
            server[1].append(postgres.start(server[0]))
        service.until(lambda: service.predict(users[0]).status_code == 200)
        assert service.version() == version
        assert rows(small) == before
    verdict(commits_before_the_log_was_full=committed, codes_while_the_log_was_full=sorted(codes))


@pytest.mark.fault("F22")
def test_predict_keeps_its_version_without_room_to_check_another(
    simulated, start, production, users, tmp_path, verdict
):
    production(simulated, 1)
    with (
        mounted(tmp_path / "tmp", 1) as folder,
        start(simulated, path="/readyz", TMPDIR=str(folder)) as service,
    ):
        with filled(folder, 4096):
            production(simulated, 2)
            refused = service.until(lambda: service.client.get("/model").json()["refused"])
            assert f"The disk of {folder} is full" in json.dumps(refused)
            kept = service.version(), service.predict(users[0]).status_code
            assert kept == (1, 200)
            assert service.metric("streamflow_model_reload_total", result="refused") >= 1
        # A refused version is tried again after a minute.
        production(simulated, 1)
        service.until(lambda: service.client.get("/model").json()["refused"] is None)
        production(simulated, 2)
        service.until(lambda: service.version() == 2)
    assert "poll failed" not in service.log.read_text(encoding="utf-8")
    verdict(version_while_temporary_files_had_no_space=kept[0])


@pytest.mark.fault("F22")
def test_a_backup_into_a_full_folder_does_not_count(simulated, tmp_path, verdict):
    with mounted(tmp_path / "backups", 1) as folder:
        chosen = simulated.model_copy(
            update={"backup": simulated.backup.model_copy(update={"folder": folder})}
        )
        code = run(chosen, "backup", backup.backup)
        assert code in (1, 4)
        assert not list(folder.glob("*/manifest.json"))
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files == []
    with transaction(simulated.database) as connection:
        message = connection.execute(
            sa.text(
                "SELECT message FROM streamflow.job_runs WHERE job = 'backup' ORDER BY run_id DESC LIMIT 1"
            )
        ).scalar_one()
    assert "space" in message, message
    verdict(files_of_a_half_backup=len(files))

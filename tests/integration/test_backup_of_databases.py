"""Back up a real database and check the contents of the dump."""

import hashlib
import json
import stat

import pytest
import sqlalchemy as sa

from streamflow.backup import dump as dumps
from streamflow.backup.backup import backup
from streamflow.backup.dump import MANIFEST
from streamflow.errors import StreamFlowError
from streamflow.postgres import locks
from streamflow.postgres.engine import session, transaction
from streamflow.schema.migrate import newest
from streamflow.schema.prepare import autocommit
from streamflow.settings import BackupSettings, DatabaseSettings

pytestmark = pytest.mark.postgres


@pytest.fixture
def here(settings, tmp_path):
    """Settings that back up into a folder of this test, without a database of MLflow."""
    database = DatabaseSettings(**settings.database.model_dump() | {"mlflow_name": "no_such_database"})
    folder = BackupSettings(folder=tmp_path / "backups", keep=2, artifacts=False)
    return settings.model_copy(update={"backup": folder, "database": database})


def test_a_backup_is_described_by_its_manifest(here):
    with transaction(here.database) as connection:
        connection.execute(sa.text("CREATE TABLE source.things AS SELECT generate_series(1, 1000) AS n"))
    done = backup(here.database, here.mlflow, here.backup)
    manifest = json.loads((done.folder / MANIFEST).read_text())
    name = f"{here.database.name}.dump"
    assert list(manifest["databases"]) == ["platform"]
    assert manifest["revision"] == newest()
    assert manifest["artifacts"] is None
    dumped = manifest["databases"]["platform"]
    assert dumped["name"] == here.database.name
    assert dumped["tables"]["source.things"]["rows"] == 1000
    content = (done.folder / name).read_bytes()
    assert content.startswith(b"PGDMP")
    assert dumped["dump"] == {
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def test_a_backup_is_for_its_owner_alone(here):
    folder = backup(here.database, here.mlflow, here.backup).folder
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {folder.name: 0o700, f"{here.database.name}.dump": 0o600, MANIFEST: 0o600}


def test_both_databases_are_of_one_moment_between_two_promotions(here, monkeypatch):
    """What is written while the first dump runs is in neither."""
    own, other = here.database.name, f"{here.database.name}_other"
    with autocommit(here.database, own) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {other}")
    database = here.database.model_copy(update={"mlflow_name": other})
    try:
        for name in (own, other):
            with session(database, name) as connection:
                connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS source")
                connection.exec_driver_sql("CREATE TABLE source.moves AS SELECT 1 AS n")
        run = dumps.run

        def between(*arguments):
            with locks.held(database, locks.of_promotions(here.mlflow.registered_model), 10):
                for name in (own, other):
                    with session(database, name) as connection:
                        connection.exec_driver_sql("INSERT INTO source.moves VALUES (2)")
            return run(*arguments)

        monkeypatch.setattr(dumps, "run", between)
        done = backup(database, here.mlflow, here.backup)
        manifest = json.loads((done.folder / MANIFEST).read_text())["databases"]
        assert [item["tables"]["source.moves"]["rows"] for item in manifest.values()] == [1, 1]
    finally:
        with autocommit(here.database, own) as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {other} WITH (FORCE)")


def test_the_oldest_backups_are_deleted(here):
    for day in ("2024-01-01T000000Z", "2024-01-02T000000Z"):
        folder = here.backup.folder / day
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text("{}")
    assert backup(here.database, here.mlflow, here.backup).removed == ("2024-01-01T000000Z",)


def test_a_failed_backup_leaves_nothing_and_deletes_nothing(here, monkeypatch):
    monkeypatch.setattr(
        "streamflow.backup.backup._databases", lambda settings: {"platform": "no_such_database"}
    )
    with pytest.raises(StreamFlowError, match="no_such_database"):
        backup(here.database, here.mlflow, here.backup)
    assert list(here.backup.folder.iterdir()) == []

"""Back up a real database and check the contents of the dump."""

import hashlib
import json
import os
import stat
import subprocess

import pytest
import sqlalchemy as sa

from streamflow.backup import dump as dumps
from streamflow.backup.backup import backup
from streamflow.backup.dump import DIGEST, MANIFEST
from streamflow.errors import NotFound, StreamFlowError
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


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("there", [False, True])
def test_a_backup_is_for_its_owner_alone(here, umask, there):
    """The archive of files too; a folder of backups that was there before stays as its owner made it."""
    settings = here.backup.model_copy(update={"artifacts": True})
    if there:
        settings.folder.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("streamflow.mlflow_api.transport.RegistryClient.versions", lambda *_: [])
            folder = backup(here.database, here.mlflow, settings).folder
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    files = (f"{here.database.name}.dump", "artifacts.tar", MANIFEST, DIGEST)
    assert modes == {folder.name: 0o700} | dict.fromkeys(files, 0o600)
    assert stat.S_IMODE(settings.folder.stat().st_mode) == (0o755 if there else 0o700)


def test_the_manifest_has_a_digest_that_anybody_can_check(here):
    folder = backup(here.database, here.mlflow, here.backup).folder
    done = subprocess.run(["sha256sum", "--check", DIGEST], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_half_a_manifest_does_not_count_as_a_backup(here, monkeypatch):
    """The process is killed while it writes the manifest."""

    class Killed(BaseException):
        pass

    def killed(path, target):
        raise Killed

    monkeypatch.setattr("pathlib.Path.replace", killed)
    monkeypatch.setattr("shutil.rmtree", lambda *arguments, **options: None)
    with pytest.raises(Killed):
        backup(here.database, here.mlflow, here.backup)
    (folder,) = here.backup.folder.iterdir()
    with pytest.raises(NotFound):
        dumps.newest(here.backup.folder)
    with pytest.raises(NotFound, match="is not a backup"):
        dumps.read(folder)


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

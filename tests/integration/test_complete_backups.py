"""Backups are made in the order of references, and refused if anything is missing that the ledger refers to."""

import hashlib
import io
import json

import pytest
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, MigrationStep

from streamflow.backup import backup as backups
from streamflow.backup import dump as dumps
from streamflow.backup.backup import backup
from streamflow.backup.references import read_ledger
from streamflow.backup.restore import restore
from streamflow.errors import StreamFlowError
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import registry
from streamflow.model_version import files, tags
from streamflow.postgres.engine import engine, session, transaction
from streamflow.registry import chain, releases, trail
from streamflow.registry.trail import Change
from streamflow.release import VersionPointer
from streamflow.schema import prepare, swap
from streamflow.schema.migrate import newest
from streamflow.schema.revisions import revisions
from streamflow.settings import BackupSettings, DatabaseSettings

pytestmark = pytest.mark.postgres


class Install:
    """A database and an MLflow server with versions whose files are a few bytes."""

    def __init__(self, settings, folder):
        self.settings = settings
        self.database, self.mlflow = settings.database, settings.mlflow
        self.model = settings.mlflow.registered_model
        self.backups = BackupSettings(folder=folder, keep=1)

    def version(self):
        """Register a version as a training does; return its pointer and its files' folder."""
        contents = {
            name: f"{name} of {self.model}".encode() for name in files.SERVED if name != files.MANIFEST
        }
        with sdk.client(self.mlflow) as client:
            run = client.create_run(client.create_experiment(self.model + str(id(contents))))
        source = f"{run.info.artifact_uri}/model"
        contents[files.CONTRACT] += run.info.run_id.encode()
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        contents[files.MANIFEST] = json.dumps({"files": digests}).encode()
        digest = hashlib.sha256(contents[files.MANIFEST]).hexdigest()
        folder = source.partition(":/")[2].lstrip("/")
        for name, content in contents.items():
            self.upload(f"{folder}/{name}", content)
        with registry(self.mlflow) as client:
            number = client.create_version(
                self.model, source, run.info.run_id, {tags.MANIFEST_SHA256: digest}
            )
        pointer = VersionPointer(self.model, number, digest)
        with transaction(self.database) as connection:
            releases.record_trained(connection, self.model, digest, run.info.run_id, "")
            releases.store(connection, pointer, contents)
        return pointer, run.info.run_id, folder

    def upload(self, path, content):
        with registry(self.mlflow) as client:
            client.upload(path, io.BytesIO(content), len(content))

    def promoted(self):
        """Register a version and put it into production in the ledger."""
        pointer, run, folder = self.version()
        release = {"version": pointer.version, "run_id": run, "manifest_sha256": pointer.manifest_sha256}
        with transaction(self.database) as connection:
            before = trail.read(connection, self.model)
            former = before[-1].to_version if before else None
            change = Change("production", former, pointer.version, "promote", "ada", "x", release=release)
            trail.append(connection, self.model, change)
        return pointer, run, folder

    def backup(self):
        return backup(self.database, self.mlflow, self.backups)

    def refused(self):
        """The problems for which no backup is made; the older one stays."""
        before = sorted(self.backups.folder.glob("*"))
        with pytest.raises(StreamFlowError, match="No older backup was deleted") as error:
            self.backup()
        assert sorted(self.backups.folder.glob("*")) == before
        return error.value.details


@pytest.fixture
def install(settings, mlflow_server, tmp_path):
    return Install(settings, tmp_path / "backups")


def in_mlflow(install, statement, **values):
    there = install.database.mlflow_name
    with session(install.database, there) as connection:
        connection.execute(sa.text(statement), {"model": install.model, **values})


@pytest.mark.stack
def test_what_a_backup_lacks_is_named_and_older_backups_stay(install):
    first, _, _ = install.promoted()
    second, run, folder = install.promoted()
    done = install.backup()
    assert (done.versions, done.deleted, done.unchecked) == ((1, 2), (), ())

    # A file that was changed or is empty.
    onnx = f"{folder}/{files.ONNX}"
    content = f"{files.ONNX} of {install.model}".encode()
    for other in (b"another", b""):
        install.upload(onnx, other)
        assert install.refused() == (f"Version 2: {onnx} has changed among the files in MLflow.",)
    install.upload(onnx, content)
    install.upload(f"{folder}/{files.MANIFEST}", b"{}")
    assert install.refused() == (
        f"Version 2: {folder}/{files.MANIFEST} has changed among the files in MLflow.",
    )
    digests = {
        name: hashlib.sha256(
            f"{name} of {install.model}".encode() + (run.encode() if name == files.CONTRACT else b"")
        ).hexdigest()
        for name in files.SERVED
        if name != files.MANIFEST
    }
    install.upload(f"{folder}/{files.MANIFEST}", json.dumps({"files": digests}).encode())
    assert install.backup().versions == (1, 2)

    # A run, a tag and versions that MLflow has lost, although nobody deleted them.
    away = "UPDATE runs SET run_uuid = :to WHERE run_uuid = :run"
    with session(install.database, install.database.mlflow_name) as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.execute(sa.text(away), {"run": run, "to": "gone"})
    (problem,) = install.refused()
    assert problem.endswith(f"its run {run} is not in MLflow.")
    with session(install.database, install.database.mlflow_name) as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.execute(sa.text(away), {"run": "gone", "to": run})
    tag = "UPDATE model_version_tags SET value = :value WHERE name = :model AND version = 2 AND key = :key"
    in_mlflow(install, tag, key=tags.MANIFEST_SHA256, value="0" * 64)
    (problem,) = install.refused()
    assert "is another one in MLflow" in problem
    in_mlflow(install, tag, key=tags.MANIFEST_SHA256, value=second.manifest_sha256)
    assert install.backup()

    # What somebody deleted in MLflow is named. The ledger and PostgreSQL still have the release.
    with sdk.client(install.mlflow) as client:
        client.delete_model_version(install.model, str(first.version))
    done = install.backup()
    assert (done.versions, done.deleted) == ((2,), (1,))
    # What MLflow simply has no longer is an error, unless it is excepted.
    in_mlflow(install, "DELETE FROM model_version_tags WHERE name = :model AND version = 2")
    in_mlflow(install, "DELETE FROM model_versions WHERE name = :model AND version = 2")
    assert install.refused() == (
        "Version 2, which stands at production by row 2 of the ledger, is not in MLflow.",
    )
    install.backups = install.backups.model_copy(update={"except_versions": (2,)})
    done = install.backup()
    assert (done.versions, done.deleted, done.unchecked) == ((), (1,), (2,))


@pytest.mark.stack
def test_a_version_that_is_registered_after_the_snapshots_is_not_in_the_backup(install, monkeypatch):
    """Files follow MLflow's snapshot, so that nothing in them is unknown to the dump."""
    install.promoted()
    tables = dumps.tables

    def meanwhile(connection):
        if install.model not in registered:
            registered.append(install.model)
            install.version()
        return tables(connection)

    registered = []
    monkeypatch.setattr(dumps, "tables", meanwhile)
    assert install.backup().versions == (1,)
    assert install.backup().versions == (1, 2)


@pytest.mark.stack
def test_the_ledgers_snapshot_is_taken_before_mlflows(install, monkeypatch):
    """A version is in MLflow before the ledger refers to it; the other order would find references to nothing."""
    names = []
    original = backups.session

    def noted(database, name):
        names.append(name)
        return original(database, name)

    monkeypatch.setattr(backups, "session", noted)
    install.promoted()
    install.backup()
    assert names == [install.database.name, install.database.mlflow_name]


DAMAGE = {
    "a piece is gone": "DELETE FROM streamflow.release_pieces WHERE file = 'model.onnx' AND piece = 0",
    "a piece has changed": "UPDATE streamflow.release_pieces SET content = 'x' WHERE file = 'golden.json'",
    "the manifest has changed": "UPDATE streamflow.release_pieces SET content = 'x' WHERE file = 'manifest.json'",
    "a piece is renumbered": "UPDATE streamflow.release_pieces SET piece = 5 WHERE file = 'contract.json'",
    "the size is another": "UPDATE streamflow.releases SET bytes = bytes + 1",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_stored_release_that_is_damaged_is_named(settings, tmp_path, damage):
    contents = {name: name.encode() * 3 for name in files.SERVED if name != files.MANIFEST}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[files.MANIFEST] = json.dumps({"files": digests}).encode()
    digest = hashlib.sha256(contents[files.MANIFEST]).hexdigest()
    database = settings.database.model_copy(update={"mlflow_name": "no_such_database"})
    folder = BackupSettings(folder=tmp_path / "backups", artifacts=False)
    with transaction(database) as connection:
        releases.store(connection, VersionPointer("m", 1, digest), contents)
        assert read_ledger(connection, "m").problems == ()
    assert backup(database, settings.mlflow, folder)
    with transaction(database) as connection:
        connection.exec_driver_sql(DAMAGE[damage])
    with pytest.raises(StreamFlowError, match="would not be complete") as error:
        backup(database, settings.mlflow, folder)
    (problem,) = error.value.details
    assert problem.startswith(f"The stored release {digest} is damaged: ")
    assert len(list(folder.folder.iterdir())) == 1


def migrated_to(connection, revision):
    """Migrate an empty database as an earlier release did."""
    scripts = reversed(list(revisions().iterate_revisions(revision, "base")))
    steps = [MigrationStep.upgrade_from_script(revisions(), script) for script in scripts]
    options = {"version_table_schema": "streamflow", "transactional_ddl": True, "fn": lambda *_: steps}
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS streamflow")
    MigrationContext.configure(connection, opts=options).run_migrations(connection=connection)


@pytest.fixture
def earlier(settings, tmp_path):
    """A database of an earlier release, and settings to back it up."""
    fields = settings.database.model_dump()
    name = f"{settings.database.name}_earlier"
    database = DatabaseSettings(**{**fields, "name": name, "mlflow_name": "no_such_database"})
    with prepare.autocommit(database, "postgres") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        with session(database, name) as connection:
            migrated_to(connection, "0011")
        yield settings.model_copy(
            update={
                "database": database,
                "backup": BackupSettings(folder=tmp_path / "backups", artifacts=False),
            }
        )
    finally:
        engine(database).dispose()
        with prepare.autocommit(database, "postgres") as connection:
            swap.drop(connection, [name])


def test_a_backup_of_an_earlier_release_is_migrated_before_anybody_sees_it(earlier):
    kept = backup(earlier.database, earlier.mlflow, earlier.backup)
    # Such a backup has neither a number of its layout nor a digest of its manifest.
    manifest = json.loads((kept.folder / dumps.MANIFEST).read_text())
    assert manifest.pop("format")
    assert manifest["revision"] == "0011"
    (kept.folder / dumps.MANIFEST).write_text(json.dumps(manifest))
    (kept.folder / dumps.DIGEST).unlink()
    done = restore(earlier.backends, earlier.backup.folder, replace=True, by="ada")
    with transaction(earlier.database) as connection:
        from streamflow.schema.migrate import current

        assert current(connection) == newest()
        (row,) = trail.read(connection, earlier.mlflow.registered_model)
        assert chain.broken(chain.read(connection)) == ()
    assert (row.action, row.from_version, row.to_version) == ("restore", None, None)
    assert (row.facts["former_head"], row.facts["lost"], done.lost) == (None, [], 0)
    assert row.why.endswith("nothing was replaced")


def test_a_trail_that_cannot_be_read_stops_a_restore_before_it_replaces_anything(earlier):
    kept = backup(earlier.database, earlier.mlflow, earlier.backup)
    with transaction(earlier.database) as connection:
        connection.exec_driver_sql("ALTER TABLE streamflow.promotions RENAME COLUMN hash TO hush")
    with pytest.raises(StreamFlowError, match="cannot be read") as error:
        restore(earlier.backends, earlier.backup.folder, kept.folder, replace=True)
    assert "Rename the database" in str(error.value)
    with transaction(earlier.database) as connection:
        assert connection.exec_driver_sql("SELECT count(hush) FROM streamflow.promotions").scalar_one() == 0
    with prepare.autocommit(earlier.database, "postgres") as connection:
        beside = "SELECT count(*) FROM pg_database WHERE datname ~ '_(restoring|replaced)$'"
        assert connection.exec_driver_sql(beside).scalar_one() == 0


RESTORE = (
    "INSERT INTO streamflow.promotions (moved_by, model, alias, from_version, to_version, action, why)"
    " VALUES ('me', 'm', 'production', {before}, {after}, 'restore', 'x')"
)


def test_a_restore_is_recorded_by_the_owner_alone_and_moves_nothing(settings):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(RESTORE.format(before="NULL", after="NULL"))
    with (
        pytest.raises(sa.exc.IntegrityError, match="moves nothing"),
        transaction(settings.database) as connection,
    ):
        connection.exec_driver_sql(RESTORE.format(before="NULL", after=1))
    role = f"{settings.database.name}_writer"
    with prepare.autocommit(settings.database, settings.database.name) as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'writer'")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA streamflow TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT ON streamflow.promotions TO {role}")
    try:
        writer = DatabaseSettings(**{**settings.database.model_dump(), "user": role, "password": "writer"})
        with (
            pytest.raises(sa.exc.ProgrammingError, match="may not record a restore"),
            session(writer, writer.name) as connection,
        ):
            connection.exec_driver_sql(RESTORE.format(before="NULL", after="NULL"))
    finally:
        with prepare.autocommit(settings.database, settings.database.name) as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")

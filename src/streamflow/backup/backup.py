"""Back up the databases and the model versions' files with a manifest, and delete the oldest backups."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.backup import archive, erased, references
from streamflow.backup import dump as dumps
from streamflow.mlflow_api.transport import registry
from streamflow.postgres import catalog, locks
from streamflow.postgres.backup_results import BackupResult
from streamflow.postgres.engine import session, transaction
from streamflow.schema.migrate import current
from streamflow.settings import BackupSettings, DatabaseSettings, MlflowSettings

_NAME = "%Y-%m-%dT%H%M%S.%fZ"
_ARTIFACTS = "artifacts.tar"
_WAIT_SECONDS = 60


def backup(
    database: DatabaseSettings, mlflow: MlflowSettings, backup_settings: BackupSettings
) -> BackupResult:
    """Write a backup into a new folder. The manifest is written last; a folder without one is not a backup.

    The order is that of references: the ledger and the source tables, MLflow, then the files of the versions that MLflow
    had. So what one part refers to is in the next, and `references.check` confirms it.

    Raises:
        UsageError: `pg_dump` is not installed.
        Busy: Another process held the promotion lock for too long.
        DependencyDown: PostgreSQL or MLflow does not answer; no older backup was deleted.
        StreamFlowError: `pg_dump` failed, or something that the ledger refers to is missing; no older backup was deleted.
    """
    moment = datetime.now(UTC)
    folder = _new_folder(backup_settings.folder, moment)
    try:
        dumped = _dump_databases(database, mlflow.registered_model, folder)
        known, packed = dumped.registry, None
        if backup_settings.artifacts:
            with registry(mlflow) as client:
                if known is None:
                    known = references.from_api(client.versions(mlflow.registered_model))
                sources = {item.version: item.source for item in known.versions if not item.deleted}
                packed = archive.pack(client, sources, folder / _ARTIFACTS)
        checked = references.check(dumped.ledger, known, packed, backup_settings.except_versions)
        dump = dumps.Dump(
            made_at=moment.isoformat(),
            revision=dumped.revision,
            databases=dumped.databases,
            artifacts=dumps.described(folder, _ARTIFACTS) if packed else None,
        )
        for file in dump.files():
            (folder / file.file).chmod(0o600)
        dumps.write(folder, dump)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    erased.write_list(database, backup_settings.folder)
    packed = packed or archive.NOTHING
    return BackupResult(
        folder,
        {file.file: file.bytes for file in dump.files()},
        {item.name: sum(table.rows for table in item.tables.values()) for item in dump.databases.values()},
        packed.versions,
        packed.elsewhere,
        _delete_outdated(backup_settings),
        checked.deleted,
        checked.unchecked,
    )


def _new_folder(root: Path, moment: datetime) -> Path:
    """Make the folder of a backup for its owner alone: the dumps have the data of every user."""
    folder = root / moment.strftime(_NAME)
    if not root.exists():
        root.mkdir(parents=True)
        root.chmod(0o700)
    folder.mkdir()
    # Whatever the umask is. A folder that existed before stays as its owner made it.
    folder.chmod(0o700)
    return folder


@dataclass(frozen=True)
class _Dumped:
    """The dumped databases, and what was read from the same snapshots.

    Attributes:
        databases: The dumps.
        revision: Schema revision of the platform's tables.
        ledger: What the ledger refers to.
        registry: What is in MLflow; None if its database is not on this server.
    """

    databases: dict[str, dumps.Database]
    revision: str
    ledger: references.Ledger
    registry: references.Registry | None


def _dump_databases(database: DatabaseSettings, model: str, folder: Path) -> _Dumped:
    with contextlib.ExitStack() as sessions:
        snapshots = _snapshots(database, model, sessions)
        databases = {key: _dump(database, snapshot, folder) for key, snapshot in snapshots.items()}
        platform = snapshots[dumps.PLATFORM].connection
        ledger = references.read_ledger(platform, model)
        known = None
        if dumps.MLFLOW in snapshots:
            known = references.read_registry(snapshots[dumps.MLFLOW].connection, model, ledger)
        return _Dumped(databases, current(platform), ledger, known)


def _delete_outdated(backup_settings: BackupSettings) -> tuple[str, ...]:
    manifests = backup_settings.folder.glob(f"*/{dumps.MANIFEST}")
    removed = outdated([path.parent.name for path in manifests], backup_settings.keep)
    for name in removed:
        shutil.rmtree(backup_settings.folder / name)
    return tuple(removed)


def outdated(names: list[str], keep: int) -> list[str]:
    """Names of all backups except the newest `keep`, oldest first. A name is the backup's date. Pure."""
    return sorted(names)[:-keep]


def _databases(database: DatabaseSettings) -> dict[str, str]:
    wanted = {dumps.PLATFORM: database.name, dumps.MLFLOW: database.mlflow_name}
    with transaction(database) as connection:
        found = catalog.databases(connection)
    return {key: name for key, name in wanted.items() if name in found}


@dataclass(frozen=True)
class _Snapshot:
    """A moment of a database, which lasts as long as the transaction that exported it.

    Attributes:
        database: Name of the database.
        connection: Connection with that transaction.
        id: What `pg_dump` calls the snapshot.
    """

    database: str
    connection: sa.Connection
    id: str


def _snapshots(
    database: DatabaseSettings, model: str, sessions: contextlib.ExitStack
) -> dict[str, _Snapshot]:
    """Take a snapshot of each database, the ledger's first, between two promotions.

    A promotion writes to the ledger and then to MLflow. A dump of one from before it, and of the other from after it,
    would be restored as a ledger whose end was cut off.
    """
    found = {}
    with locks.held(database, locks.of_promotions(model), _WAIT_SECONDS):
        for key, name in _databases(database).items():
            connection = sessions.enter_context(session(database, name))
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            exported = connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar_one()
            found[key] = _Snapshot(name, connection, exported)
    return found


def _dump(database: DatabaseSettings, snapshot: _Snapshot, folder: Path) -> dumps.Database:
    """Dump a database, and compute its tables' digests from the same snapshot."""
    name = snapshot.database
    file = f"{name}.dump"
    tables = dumps.tables(snapshot.connection)
    done = dumps.run(
        database,
        "pg_dump",
        "--format=custom",
        f"--snapshot={snapshot.id}",
        f"--file={folder / file}",
        name,
    )
    if done.returncode:
        hint = "Check the role 'backup', and the space on the backup volume."
        raise dumps.failed(f"pg_dump of '{name}' failed.", done, hint)
    return dumps.Database(name, dumps.described(folder, file), tables)

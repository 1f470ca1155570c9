"""Back up the databases and the model versions' files with a manifest, and delete the oldest backups."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.backup import archive
from streamflow.backup import dump as dumps
from streamflow.mlflow_api.transport import registry
from streamflow.postgres import catalog
from streamflow.postgres.engine import session, transaction
from streamflow.postgres.job_results import BackupResult
from streamflow.schema.migrate import current
from streamflow.settings import BackupSettings, DatabaseSettings, MlflowSettings

_NAME = "%Y-%m-%dT%H%M%S.%fZ"
_ARTIFACTS = "artifacts.tar"


def backup(
    database: DatabaseSettings, mlflow: MlflowSettings, backup_settings: BackupSettings
) -> BackupResult:
    """Write a backup into a new folder. The manifest is written last; a folder without one is not a backup.

    Raises:
        UsageError: `pg_dump` is not installed.
        DependencyDown: PostgreSQL or MLflow does not answer; no older backup was deleted.
        StreamFlowError: `pg_dump` failed; no older backup was deleted.
    """
    moment = datetime.now(UTC)
    folder = backup_settings.folder / moment.strftime(_NAME)
    # For its owner alone: the dumps have the data of every user.
    folder.mkdir(parents=True, mode=0o700)
    try:
        # Databases before files, so that the files of every version in the dump are among those copied.
        databases = {key: _dump(database, name, folder) for key, name in _databases(database).items()}
        packed = archive.Packed(0, (), ())
        if backup_settings.artifacts:
            with registry(mlflow) as client:
                packed = archive.pack(client, mlflow.registered_model, folder / _ARTIFACTS)
        dump = dumps.Dump(
            made_at=moment.isoformat(),
            revision=_revision(database),
            databases=databases,
            artifacts=dumps.described(folder, _ARTIFACTS) if backup_settings.artifacts else None,
        )
        for file in dump.files():
            (folder / file.file).chmod(0o600)
        dumps.write(folder, dump)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    removed = outdated(
        [path.parent.name for path in backup_settings.folder.glob(f"*/{dumps.MANIFEST}")],
        backup_settings.keep,
    )
    for name in removed:
        shutil.rmtree(backup_settings.folder / name)
    return BackupResult(
        folder,
        {file.file: file.bytes for file in dump.files()},
        {item.name: sum(table.rows for table in item.tables.values()) for item in databases.values()},
        packed.versions,
        packed.elsewhere,
        tuple(removed),
    )


def outdated(names: list[str], keep: int) -> list[str]:
    """Names of all backups except the newest `keep`, oldest first. A name is the backup's date. Pure."""
    return sorted(names)[:-keep]


def _databases(database: DatabaseSettings) -> dict[str, str]:
    wanted = {dumps.PLATFORM: database.name, dumps.MLFLOW: database.mlflow_name}
    with transaction(database) as connection:
        found = catalog.databases(connection)
    return {key: name for key, name in wanted.items() if name in found}


def _revision(database: DatabaseSettings) -> str:
    with transaction(database) as connection:
        return current(connection)


def _dump(database: DatabaseSettings, name: str, folder: Path) -> dumps.Database:
    """Dump a database, and compute its tables' digests from the same snapshot."""
    file = f"{name}.dump"
    with session(database, name) as connection:
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        tables = dumps.tables(connection)
        snapshot = connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar_one()
        # Within this transaction: the exported snapshot ends with it.
        done = dumps.run(
            database,
            "pg_dump",
            "--format=custom",
            f"--snapshot={snapshot}",
            f"--file={folder / file}",
            name,
        )
    if done.returncode:
        hint = "Check the role 'backup', and the space on the backup volume."
        raise dumps.failed(f"pg_dump of '{name}' failed.", done, hint)
    return dumps.Database(name, dumps.described(folder, file), tables)

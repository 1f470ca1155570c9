"""The upgrade from first to last step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from streamflow.backup import backup as backups
from streamflow.backup import beside, object_store
from streamflow.backup import dump as dumps
from streamflow.errors import Busy, NotFound, Refused
from streamflow.monitoring import parity
from streamflow.postgres import catalog
from streamflow.postgres.engine import session, transaction
from streamflow.registrar import look
from streamflow.registry.served import served_release
from streamflow.release import Release
from streamflow.schema import migrate, prepare, swap
from streamflow.settings import Backends, BackupSettings, DatabaseSettings
from streamflow.upgrade import ask, copied, stopped, verdict

Tell = Callable[[str], None]
PREDICTIONS = 100
"""How many predictions the copy is asked for."""

SESSIONS_SECONDS = 15.0
"""Longest wait until nobody uses MLflow's database."""


@dataclass(frozen=True)
class Real:
    """What migrates the real databases.

    Attributes:
        migrate: Migrates StreamFlow's tables; returns their revision.
        migrate_mlflow: Migrates a database of MLflow, the copy's or the real one.
        without_mlflow: Keeps MLflow's server stopped; None leaves MLflow's real database to whoever starts its server.
    """

    migrate: Callable[[], str]
    migrate_mlflow: copied.MigrateMlflow
    without_mlflow: Callable[[], AbstractContextManager[None]] | None


@dataclass(frozen=True)
class UpgradeResult:
    """Result of an upgrade.

    Attributes:
        backup: Folder of the backup that was taken first.
        from_revision: Revision of StreamFlow's tables before.
        revision: Revision of the migrated copy, and then of the real tables.
        version: Model version in production; None if there is none.
        asked: Predictions that the copy was asked for.
        refused: Those that it refused.
        compared: Answers that were compared with the service in production.
        migrated: Whether the real tables were migrated; not by a dry run.
        mlflow: `migrated`, `left` to whoever starts MLflow's server, or `elsewhere` if its database is on another server.
    """

    backup: Path
    from_revision: str
    revision: str
    version: int | None = None
    asked: int = 0
    refused: int = 0
    compared: int = 0
    migrated: bool = False
    mlflow: str = "left"


def upgrade(
    backends: Backends,
    backup_settings: BackupSettings,
    present: ask.Present,
    real: Real,
    tell: Tell,
    *,
    dry_run: bool = False,
) -> UpgradeResult:
    """Upgrade the databases to this version, after a rehearsal on a copy.

    The predict service in production serves throughout.

    Args:
        backends: Server, databases and MLflow.
        backup_settings: Where the backup goes.
        present: The predict service in production.
        real: What migrates the real databases.
        tell: Called with one line per step.
        dry_run: Leave out the last step, which changes the real databases.

    Raises:
        UsageError: The login may not create databases.
        Refused: The databases are of a newer version or another install; or a restore or an upgrade is running.
        StreamFlowError: A step failed; the message says what is as it was, and what to do next.
    """
    database = backends.database
    beside.check_login(database)
    with transaction(database) as connection:
        before = migrate.current(connection)
    if migrate.is_newer(before):
        raise Refused(
            f"The database '{database.name}' is at revision {before}, which a newer version created.",
            hint=f"This version knows {migrate.newest()}. Install that newer one, or restore a backup from before.",
        )
    with swap.exclusive(database):
        with _step("back up the databases and the model versions", tell):
            made = object_store.uploaded(
                backup_settings, backups.backup(database, backends.mlflow, backup_settings)
            )
            dump = dumps.read(made.folder)
        done = UpgradeResult(made.folder, before, before)
        if dumps.MLFLOW not in dump.databases:
            done = replace(done, mlflow="elsewhere")
        done = _rehearse(backends, dump, done, present, real, tell)
        return done if dry_run else _migrate(database, done, real, tell)


def _rehearse(
    backends: Backends, dump: dumps.Dump, done: UpgradeResult, present: ask.Present, real: Real, tell: Tell
) -> UpgradeResult:
    """Restore the backup beside, migrate the copy, and ask it for predictions."""
    with contextlib.ExitStack() as stack:
        with _step("restore the backup beside the real databases, and compare", tell):
            copy = stack.enter_context(copied.restored(backends.database, done.backup, dump, tell))
        with _step("migrate the copy", tell):
            done = replace(done, revision=copy.migrate(real.migrate_mlflow))
        with _step(f"ask the copy for {PREDICTIONS} predictions", tell):
            return _ask(backends, copy, done, present, tell)


def _ask(
    backends: Backends, copy: copied.Copy, done: UpgradeResult, present: ask.Present, tell: Tell
) -> UpgradeResult:
    model = backends.mlflow.registered_model
    # A database of an earlier release has no files of releases: the registrar fetches them from MLflow.
    look.store_missing(replace(backends, database=copy.platform))
    try:
        # Checks that the model reproduces its golden rows.
        release = served_release(copy.platform, model)
        with transaction(copy.platform) as connection:
            known = parity.materialized(connection, release.contract)
            entities = parity.sample(connection, release.contract, PREDICTIONS)
    except NotFound as error:
        tell(f"No predictions were asked for: {error.what}")
        return done
    key = release.contract.join_key
    asked = ask.of_copy(copy.platform, key, entities)
    judged = verdict.judge(asked, ask.of_present(present, key, entities, tell))
    if judged.problems:
        _refuse_if_changed(backends.database, release, known)
        raise Refused("The copy does not answer as production does.", details=judged.problems)
    tell(
        f"Version {release.pointer.version} reproduces its golden rows; the copy was asked for {judged.asked} predictions"
        f" and refused {judged.refused}; {judged.compared} are equal to production's."
    )
    version = release.pointer.version
    return replace(
        done, version=version, asked=judged.asked, refused=judged.refused, compared=judged.compared
    )


def _refuse_if_changed(database: DatabaseSettings, release: Release, known: object) -> None:
    with transaction(database) as connection:
        if parity.materialized(connection, release.contract) == known:
            return
    raise Busy(
        "Features were materialized since the backup, so the answers of the copy cannot be compared with production's.",
        hint="Run the upgrade again when no job runs.",
    )


def _migrate(database: DatabaseSettings, done: UpgradeResult, real: Real, tell: Tell) -> UpgradeResult:
    """Migrate the real databases."""
    with _step("migrate StreamFlow's tables", tell, stopped.REAL, done.backup):
        done = replace(done, revision=real.migrate(), migrated=True)
    if real.without_mlflow is None or done.mlflow == "elsewhere":
        return done
    with (
        _step("stop MLflow's server, migrate its database, start it", tell, stopped.REAL_MLFLOW, done.backup),
        real.without_mlflow(),
    ):
        mlflow = database.model_copy(update={"name": database.mlflow_name})
        check_unused(mlflow)
        real.migrate_mlflow(mlflow)
    return replace(done, mlflow="migrated")


def check_unused(database: DatabaseSettings) -> None:
    """Check that nobody is connected to MLflow's database, because MLflow requires that nothing writes meanwhile.

    Raises:
        Busy: Somebody is.
    """
    deadline = time.monotonic() + SESSIONS_SECONDS
    while True:
        with session(database, prepare.MAINTENANCE_DATABASE) as connection:
            logins = catalog.sessions(connection, database.name)
        if not logins:
            return
        if time.monotonic() > deadline:
            raise Busy(
                f"MLflow's database '{database.name}' is in use by {', '.join(sorted(set(logins)))}.",
                hint="Stop every server of MLflow on this database, then run the upgrade again.",
            )
        time.sleep(0.2)


@contextlib.contextmanager
def _step(doing: str, tell: Tell, works_on: str = stopped.COPY, backup: Path | None = None) -> Iterator[None]:
    tell(f"{doing[0].upper()}{doing[1:]}")
    try:
        yield
    except Exception as error:
        raise stopped.explained(doing, error, works_on, backup) from error

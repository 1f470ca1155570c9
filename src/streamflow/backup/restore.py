"""Restore a backup: check it, restore it beside the current databases, compare, then swap.

The login needs the right to create databases. The current databases stay unchanged until the swap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from streamflow.backup import archive, erased, former_trail
from streamflow.backup import dump as dumps
from streamflow.errors import DependencyDown, Refused, StreamFlowError, UsageError
from streamflow.mlflow_api.transport import registry
from streamflow.mlflow_server.accounts import create
from streamflow.model_version import tags
from streamflow.postgres import catalog
from streamflow.postgres.backup_results import RestoreResult
from streamflow.postgres.engine import session, transaction
from streamflow.postgres.names import PLATFORM, quote
from streamflow.registry import actions, chain, moves, trail
from streamflow.schema import claims, prepare, privileges, roles, swap
from streamflow.schema.migrate import upgrade
from streamflow.settings import Backends, DatabaseSettings, ErasureSettings, MlflowSettings

# First server version that knows `transaction_timeout`, which newer versions of pg_restore set.
_KNOWS_EVERY_SETTING = 170000
_UNKNOWN_SETTING = re.compile(r'unrecognized configuration parameter "transaction_timeout"')


def restore(
    backends: Backends,
    backups: Path,
    folder: Path | None = None,
    *,
    replace: bool = False,
    by: str = "restore",
    erasure: ErasureSettings | None = None,
) -> RestoreResult:
    """Restore both databases and the files of the model versions, and say so in the restored audit trail.

    Owners and privileges are those that the migration Job sets on this server, not those in the dump.

    Args:
        backends: Server and databases to restore into, and MLflow.
        backups: Folder that holds the backups.
        folder: Folder of the backup; None takes the newest one.
        replace: Whether to replace databases that are not empty.
        by: Who restores, for the audit trail.
        erasure: Key of the list of erasures; needed once somebody was erased.

    Raises:
        NotFound: There is no such backup.
        Refused: A file of the backup has changed, a database is not empty or belongs to another install, or another
            restore is running; nothing was done.
        UsageError: The login lacks the right to create databases.
        DependencyDown: PostgreSQL or MLflow does not answer.
        StreamFlowError: The restored tables differ from the manifest; the current databases are unchanged.
    """
    folder = folder or dumps.newest(backups)
    dump = dumps.read(folder)
    names = {key: _name(backends.database, key) for key in dump.databases}
    _check_login(backends.database)
    with swap.exclusive(backends.database):
        if not replace:
            _refuse_non_empty(backends.database, names)
        known = erased.known(backends.database, backups)
        platform = names.get(dumps.PLATFORM, backends.database.name) + swap.RESTORING
        restored = erased.Restored(backends.database, platform, _owner(backends.database), known)
        with _restored_beside(backends.database, folder, dump, names):
            _make_ready(backends, names, restored, erasure or ErasureSettings())
            artifacts = 0
            # Before the swap: if MLflow fails, the current databases stay in place.
            if dump.artifacts:
                with registry(backends.mlflow) as client:
                    artifacts = archive.unpack(client, folder / dump.artifacts.file, erased.Filter(restored))
            restored.check_unchanged(backups)
            row = _swap(backends, names, dumps.identity(folder, dump), by)
    if row is not None:
        _move_anchor(backends, row)
    return RestoreResult(
        folder,
        dump.made_at,
        {
            names[key]: sum(table.rows for table in item.tables.values())
            for key, item in dump.databases.items()
        },
        artifacts,
        (*restored.lines(), *_next(backends, dump)),
        row.promotion_id if row else 0,
        int(row.facts[actions.LOST_COUNT]) if row else 0,
    )


def _name(database: DatabaseSettings, key: str) -> str:
    return database.name if key == dumps.PLATFORM else database.mlflow_name


def _check_login(database: DatabaseSettings) -> None:
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        if not catalog.may_create_databases(connection):
            raise UsageError(
                f"'{database.user}' may not create databases, so it cannot restore any.",
                hint="Log in as an administrator: STREAMFLOW_DATABASE__USER and STREAMFLOW_DATABASE__PASSWORD.",
            )
        claims.check(connection, database)


def _refuse_non_empty(database: DatabaseSettings, names: Mapping[str, str]) -> None:
    """Check that the databases contain neither drops nor model versions.

    Raises:
        Refused: A database contains some; `details` has the counts.
    """
    counted = {
        dumps.PLATFORM: (f"{PLATFORM}.drops", "drops"),
        dumps.MLFLOW: ("public.model_versions", "model versions"),
    }
    filled = []
    for key, name in names.items():
        table, things = counted[key]
        if not _exists(database, name):
            continue
        with session(database, name) as connection:
            if not catalog.exists(connection, table):
                continue
            count = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
        if count:
            filled.append(f"the database '{name}' has {count} {things}")
    if filled:
        raise Refused(
            "A restore would replace existing data. Nothing was done.",
            details=tuple(filled),
            hint="Back it up, then add --replace.",
        )


def _exists(database: DatabaseSettings, name: str) -> bool:
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        return name in catalog.databases(connection)


@contextmanager
def _restored_beside(
    database: DatabaseSettings, folder: Path, dump: dumps.Dump, names: Mapping[str, str]
) -> Iterator[None]:
    """Restore each database under a temporary name and compare it with the manifest; drop both on error."""
    try:
        for key, item in dump.databases.items():
            _restore(database, folder, key, item, names[key] + swap.RESTORING)
        yield
    except BaseException:
        _drop(database, [name + swap.RESTORING for name in names.values()])
        raise


def _make_ready(
    backends: Backends, names: Mapping[str, str], restored: erased.Restored, erasure: ErasureSettings
) -> None:
    """Do to the restored databases, which nobody uses yet, what has to be done before anything is served from them."""
    database = backends.database
    if dumps.PLATFORM in names:
        with _as_owner(database, names[dumps.PLATFORM] + swap.RESTORING) as connection:
            # A backup of an earlier release does not know the row that says where it came from.
            upgrade(connection)
        restored.apply(erasure)
    _set_rights(database, names)
    accounts = backends.mlflow.accounts_folder
    if accounts is not None and dumps.MLFLOW in names:
        _set_accounts(database, names[dumps.MLFLOW] + swap.RESTORING, accounts)


@contextmanager
def _as_owner(database: DatabaseSettings, name: str) -> Iterator[sa.Connection]:
    """Run a transaction in a restored database of the platform as its owner, if the server has that role."""
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        has_roles = _has_roles(connection, database)
    with session(database, name) as connection:
        if has_roles:
            connection.exec_driver_sql(f"SET LOCAL ROLE {quote(database.role_prefix + roles.OWNER)}")
        yield connection


def _restore(database: DatabaseSettings, folder: Path, key: str, item: dumps.Database, name: str) -> None:
    owner = roles.OWNER if key == dumps.PLATFORM else roles.MLFLOW
    _drop(database, [name])
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
        role = database.role_prefix + owner if _has_roles(connection, database) else ""
        owned = f" OWNER {quote(role)}" if role else ""
        # template0: template1 may contain local additions, with which a restore would conflict.
        connection.exec_driver_sql(f"CREATE DATABASE {quote(name)} TEMPLATE template0{owned}")
    # The dumped server may have named its roles differently; `_set_rights` later sets those of this server.
    options = ["--no-owner", "--no-acl", f"--dbname={name}"] + ([f"--role={role}"] if role else [])
    # On an older server the unknown setting is an error that must not end the restore; it is ignored below.
    if version >= _KNOWS_EVERY_SETTING:
        options.append("--exit-on-error")
    done = dumps.run(database, "pg_restore", *options, str(folder / item.dump.file))
    if done.returncode and not only_unknown_settings(done.stderr):
        raise dumps.failed(
            f"pg_restore of '{item.name}' failed. The present databases are unchanged.",
            done,
            "Check the space of the server, and that it is no older than the one that was dumped.",
        )
    with session(database, name) as connection:
        restored = dumps.tables(connection)
    if differing := dumps.differences(item.tables, restored):
        raise StreamFlowError(
            f"'{item.name}' was restored with other content than was dumped. The present databases are unchanged.",
            details=tuple(differing),
            hint="Take another backup, and report this one.",
        )


def only_unknown_settings(stderr: str) -> bool:
    """Whether all errors of pg_restore are about a setting that an older server does not know. Pure."""
    errors = [line for line in stderr.splitlines() if "error:" in line]
    return bool(errors) and all(_UNKNOWN_SETTING.search(line) for line in errors)


def _owner(database: DatabaseSettings) -> str:
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        return database.role_prefix + roles.OWNER if _has_roles(connection, database) else ""


def _has_roles(connection: sa.Connection, database: DatabaseSettings) -> bool:
    """Whether the server has one role per component; a local stack has a single role."""
    role = database.role_prefix + roles.OWNER
    return role in catalog.roles(connection)


def _set_rights(database: DatabaseSettings, names: Mapping[str, str]) -> None:
    """Set owners and privileges on the restored databases, as the migration Job does."""
    fields = {
        "name" if key == dumps.PLATFORM else "mlflow_name": name + swap.RESTORING
        for key, name in names.items()
    }
    restoring = database.model_copy(update=fields)
    plan = prepare.make_plan(restoring, {})
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        claims.claim(connection, restoring)
        if not _has_roles(connection, database):
            return
        privileges.ensure_database_rights(connection, plan)
    with session(database, plan.database) as connection:
        privileges.ensure_schemas(connection, plan)
        privileges.ensure_owners(connection, plan)
        privileges.ensure_grants(connection, plan)


def _set_accounts(database: DatabaseSettings, name: str, folder: Path) -> None:
    """Give the accounts of MLflow the passwords of this install: those in the backup may be of another one."""
    url = database.model_copy(update={"name": name}).url("postgresql+psycopg2")
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        owned = _has_roles(connection, database)
    # What a backup from before the accounts lacks must belong to MLflow's role.
    role = database.role_prefix + roles.MLFLOW
    create(f"{url}&options=-crole%3D{role}" if owned else url, folder)


def _swap(
    backends: Backends, names: Mapping[str, str], backup: Mapping[str, str], by: str
) -> trail.Move | None:
    """Record the restore in the restored trail, then replace the current databases with the restored ones.

    Nobody sees the restored trail without the row, and nobody adds a row to the former one after it was read.

    Returns:
        The row; None if the backup has no trail.
    """
    database, model = backends.database, backends.mlflow.registered_model
    platform = names.get(dumps.PLATFORM)
    if platform is None:
        swap.swap(database, list(names.values()))
        return None
    backup = {**backup, actions.ANCHOR: _anchor_of(backends.mlflow)}
    with ExitStack() as stack:
        former = former_trail.FormerTrail()
        if _exists(database, platform):
            former = stack.enter_context(former_trail.unchanged(database, platform, model))
        with _as_owner(database, platform + swap.RESTORING) as connection:
            row = former_trail.record(connection, model, former, backup, by)
        swap.swap(database, list(names.values()), last=former.session)
    return row


def _anchor_of(mlflow: MlflowSettings) -> str:
    """The row that MLflow names as the newest before the restore; "" if it names none or does not say."""
    try:
        return moves.anchor(mlflow)
    except StreamFlowError:
        return ""


def _move_anchor(backends: Backends, row: trail.Move) -> None:
    """Let MLflow name the restore's row as the newest; if this account may not, the registrar does it."""
    model = backends.mlflow.registered_model
    with (
        suppress(StreamFlowError),
        registry(backends.mlflow) as client,
        transaction(backends.database) as now,
    ):
        if client.model(model) and chain.has_row(now, client.model_tags(model).get(tags.AUDIT, "")):
            client.set_model_tag(model, tags.AUDIT, f"{row.promotion_id}:{row.hash}")


def _drop(database: DatabaseSettings, names: list[str]) -> None:
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        swap.drop(connection, names)


def _next(backends: Backends, dump: dumps.Dump) -> tuple[str, ...]:
    steps = ["Online tables and scores are restored too: nothing needs to be materialized."]
    try:
        prepare.wait(backends.database, backends.feast.repo, "applied", 0.0)
    except DependencyDown as error:
        steps.append(
            f"The backup is of another version or feature repo ({error.what}): run 'streamflow up' on a laptop,"
            " 'helm upgrade' on Kubernetes."
        )
    if dump.artifacts is None:
        steps.append(
            "The backup has no files of model versions: restore MLflow's volume or object store,"
            " else no version can be served."
        )
    return tuple(steps)

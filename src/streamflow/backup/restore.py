"""Restore a backup: check it, restore it beside the current databases, compare, then swap.

The login needs the right to create databases. The current databases stay unchanged until the swap.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from streamflow.backup import archive, beside, erased, former_trail
from streamflow.backup import dump as dumps
from streamflow.errors import DependencyDown, Refused, StreamFlowError
from streamflow.mlflow_api.transport import registry
from streamflow.mlflow_server.accounts import create
from streamflow.model_version import tags
from streamflow.postgres import catalog
from streamflow.postgres.backup_results import RestoreResult
from streamflow.postgres.engine import session, transaction
from streamflow.postgres.names import PLATFORM
from streamflow.registry import actions, chain, moves, trail
from streamflow.schema import claims, prepare, privileges, roles, swap
from streamflow.schema.migrate import upgrade
from streamflow.settings import Backends, DatabaseSettings, ErasureSettings, MlflowSettings


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
    beside.check_login(backends.database)
    with swap.exclusive(backends.database):
        if not replace:
            _refuse_non_empty(backends.database, names)
        known = erased.known(backends.database, backups)
        platform = names.get(dumps.PLATFORM, backends.database.name) + swap.RESTORING
        restored = erased.Restored(backends.database, platform, beside.owner_of(backends.database), known)
        with beside.restored_beside(backends.database, folder, dump, names):
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
        if not beside.exists(database, name):
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


def _make_ready(
    backends: Backends, names: Mapping[str, str], restored: erased.Restored, erasure: ErasureSettings
) -> None:
    """Do to the restored databases, which nobody uses yet, what has to be done before anything is served from them."""
    database = backends.database
    if dumps.PLATFORM in names:
        with beside.as_owner(database, names[dumps.PLATFORM] + swap.RESTORING) as connection:
            # A backup of an earlier release does not know the row that says where it came from.
            upgrade(connection)
        restored.apply(erasure)
    _set_rights(database, names)
    accounts = backends.mlflow.accounts_folder
    if accounts is not None and dumps.MLFLOW in names:
        _set_accounts(database, names[dumps.MLFLOW] + swap.RESTORING, accounts)


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
        if not beside.has_roles(connection, database):
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
        owned = beside.has_roles(connection, database)
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
        if beside.exists(database, platform):
            former = stack.enter_context(former_trail.unchanged(database, platform, model))
        with beside.as_owner(database, platform + swap.RESTORING) as connection:
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

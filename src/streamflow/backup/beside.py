"""Restore the databases of a backup under other names, beside the present ones, and compare them with the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from streamflow.backup import dump as dumps
from streamflow.errors import StreamFlowError, UsageError
from streamflow.postgres import catalog
from streamflow.postgres.engine import session
from streamflow.postgres.names import quote
from streamflow.schema import claims, prepare, roles, swap
from streamflow.settings import DatabaseSettings

# First server version that knows `transaction_timeout`, which newer versions of pg_restore set.
_KNOWS_EVERY_SETTING = 170000
_UNKNOWN_SETTING = re.compile(r'unrecognized configuration parameter "transaction_timeout"')


def check_login(database: DatabaseSettings) -> None:
    """Check that the login may create databases, and that those of the settings belong to this install.

    Raises:
        UsageError: It may not.
        Refused: They belong to another install.
    """
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        if not catalog.may_create_databases(connection):
            raise UsageError(
                f"'{database.user}' may not create databases, so it cannot restore any.",
                hint="Log in as an administrator: STREAMFLOW_DATABASE__USER and STREAMFLOW_DATABASE__PASSWORD.",
            )
        claims.check(connection, database)


def exists(database: DatabaseSettings, name: str) -> bool:
    """Whether the server has a database."""
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        return name in catalog.databases(connection)


@contextmanager
def restored_beside(
    database: DatabaseSettings, folder: Path, dump: dumps.Dump, names: Mapping[str, str]
) -> Iterator[None]:
    """Restore each database under a temporary name and compare it with the manifest; drop both on error."""
    try:
        for key, item in dump.databases.items():
            _restore(database, folder, key, item, names[key] + swap.RESTORING)
        yield
    except BaseException:
        drop(database, [name + swap.RESTORING for name in names.values()])
        raise


@contextmanager
def as_owner(database: DatabaseSettings, name: str) -> Iterator[sa.Connection]:
    """Run a transaction in a restored database of the platform as its owner, if the server has that role."""
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        role = database.role_prefix + roles.OWNER if has_roles(connection, database) else ""
    with session(database, name) as connection:
        if role:
            connection.exec_driver_sql(f"SET LOCAL ROLE {quote(role)}")
        yield connection


def _restore(database: DatabaseSettings, folder: Path, key: str, item: dumps.Database, name: str) -> None:
    owner = roles.OWNER if key == dumps.PLATFORM else roles.MLFLOW
    drop(database, [name])
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
        role = database.role_prefix + owner if has_roles(connection, database) else ""
        owned = f" OWNER {quote(role)}" if role else ""
        # template0: template1 may contain local additions, with which a restore would conflict.
        connection.exec_driver_sql(f"CREATE DATABASE {quote(name)} TEMPLATE template0{owned}")
    # The dumped server may have named its roles differently; a restore sets those of this server later.
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


def owner_of(database: DatabaseSettings) -> str:
    """Role that owns the platform's tables; "" on a server with a single role."""
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        return database.role_prefix + roles.OWNER if has_roles(connection, database) else ""


def has_roles(connection: sa.Connection, database: DatabaseSettings) -> bool:
    """Whether the server has one role per component; a local stack has a single role."""
    return database.role_prefix + roles.OWNER in catalog.roles(connection)


def drop(database: DatabaseSettings, names: list[str]) -> None:
    """Delete databases that exist, and end all sessions in them."""
    with prepare.autocommit(database, prepare.MAINTENANCE_DATABASE) as connection:
        swap.drop(connection, names)

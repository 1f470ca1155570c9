"""Set up roles, migrations and grants on a PostgreSQL server; wait until the database is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from streamflow.errors import DependencyDown, Refused, UsageError
from streamflow.postgres import catalog
from streamflow.postgres.engine import transaction, unavailable
from streamflow.postgres.names import FEAST, PLATFORM
from streamflow.repo import folder
from streamflow.schema import claims, prefect_database, privileges, roles
from streamflow.schema.migrate import current, is_newer, migrate, newest
from streamflow.settings import DatabaseSettings

Stage = Literal["login", "migrated", "applied"]
MAINTENANCE_DATABASE = "postgres"
_STAMP = "streamflow feature repo "


def passwords_in(folder: Path) -> dict[str, str]:
    """Read roles' passwords from files named `ROLE-password`, the layout of a mounted Secret.

    Raises:
        UsageError: The folder has no such file.
    """
    found = {
        name: (folder / f"{name}-password").read_text(encoding="utf-8").strip()
        for name in (*roles.LOGINS, prefect_database.ROLE)
        if (folder / f"{name}-password").is_file()
    }
    if not found:
        raise UsageError(
            f"{folder} holds no file ROLE-password.", hint=f"The roles are: {', '.join(roles.LOGINS)}."
        )
    return found


def prepare(database: DatabaseSettings, passwords: Mapping[str, str], *, with_roles: bool = True) -> str:
    """Create roles, databases and schemas as an administrator, then run migrations as the owner.

    Args:
        database: Login of the administrator, or of the owner if `with_roles` is False.
        passwords: Password of each role.
        with_roles: False if an administrator has already created roles, databases and schemas, for example
            from `streamflow db roles --print`. The owner then sets grants on its own tables only.

    Returns:
        The database's revision afterwards.

    Raises:
        Refused: The databases or the roles belong to another install; nothing was done.
        UsageError: Prefect's database is wanted, and its role has no password or the server lacks the extension.
    """
    if not with_roles:
        with autocommit(database, database.name) as connection:
            claims.check(connection, database)
            claims.claim(connection, database)
        revision = migrate(database)
        grant_own(database)
        return revision
    plan = make_plan(database, passwords)
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        # First: creating the roles sets their passwords, which would lock the other install out.
        claims.check(connection, database)
        privileges.ensure_cluster(connection, plan)
        if database.prefect_name:
            prefect_database.ensure(connection, plan, database.prefect_name)
        claims.claim(connection, database)
    if database.prefect_name:
        with autocommit(database, database.prefect_name) as connection:
            prefect_database.ensure_extension(connection, f"{database.host}:{database.port}")
    with transaction(database) as connection:
        privileges.ensure_schemas(connection, plan)
    revision = migrate(as_role(database, roles.OWNER, passwords[roles.OWNER]))
    grant(database)
    return revision


def set_least_kept(database: DatabaseSettings, days: Mapping[str, int]) -> None:
    """Set the shortest time that PostgreSQL keeps evidence; the roles that write it cannot shorten it.

    Args:
        database: Login of the administrator, or of the owner.
        days: Days by kind of evidence, which are the rows of the table `least_kept`.
    """
    statement = sa.text(f"UPDATE {PLATFORM}.least_kept SET least = :least WHERE what = :what")
    with transaction(database) as connection:
        connection.execute(statement, [{"what": what, "least": least} for what, least in days.items()])


def grant(database: DatabaseSettings) -> None:
    """Set the grants on existing tables, as the administrator in `database`."""
    with transaction(database) as connection:
        privileges.ensure_grants(connection, make_plan(database, {}))


def grant_own(database: DatabaseSettings) -> None:
    """Set the grants on tables owned by the role in `database`, which need not be an administrator."""
    with transaction(database) as connection:
        privileges.ensure_grants(connection, _plan(database, connection, {}), own=True)


def make_plan(database: DatabaseSettings, passwords: Mapping[str, str]) -> roles.Plan:
    """Collect what the SQL of roles depends on, such as the version of the server in `database`."""
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        return _plan(database, connection, passwords)


def _plan(database: DatabaseSettings, connection: sa.Connection, passwords: Mapping[str, str]) -> roles.Plan:
    version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
    return roles.Plan(database.name, database.mlflow_name, database.role_prefix, version, passwords)


def as_role(database: DatabaseSettings, name: str, password: str) -> DatabaseSettings:
    """Return a copy that logs in as one of StreamFlow's roles."""
    login = database.model_copy(
        update={"user": database.role_prefix + name, "password": password, "password_file": None}
    )
    # model_copy() does not validate what it is given: build it anew, with a SecretStr.
    fields = login.model_dump() | {"password": password}
    return DatabaseSettings(**fields)


def finish(
    database: DatabaseSettings, repo_folder: Path, passwords: Mapping[str, str], *, with_roles: bool = True
) -> None:
    """Set grants on what `features apply` created, and record that it ran.

    Args:
        database: Login of the administrator, or of the owner if `with_roles` is False.
        passwords: Password of each role. If `with_roles` is False, only `feast_apply` needs one, to set the
            grants on its own tables.
        with_roles: As for `prepare`.

    Raises:
        UsageError: The password of `feast_apply` is needed but missing.
    """
    if with_roles:
        grant(database)
    elif roles.APPLY in passwords:
        grant_own(database)
        grant_own(as_role(database, roles.APPLY, passwords[roles.APPLY]))
    else:
        raise UsageError(
            f"Without the password of '{roles.APPLY}', nobody may set grants on its tables.",
            hint=f"Name a folder that holds {roles.APPLY}-password with --passwords.",
        )
    stamp(database, repo_folder)


def stamp(database: DatabaseSettings, repo_folder: Path) -> None:
    """Record the digest of the applied feature repo in the database, where `wait` looks for it."""
    with transaction(database) as connection:
        applied = _STAMP + folder.digest(repo_folder)
        connection.exec_driver_sql(f"COMMENT ON SCHEMA feast IS '{applied}'")


def wait(
    database: DatabaseSettings,
    repo_folder: Path,
    until: Stage,
    timeout_seconds: float,
    *,
    pause: Callable[[float], None] = time.sleep,
    on_wait: Callable[[str], None] = lambda reason: None,
) -> None:
    """Wait until the database is ready.

    Args:
        database: Login to wait with.
        repo_folder: Folder of the feature repo that is applied.
        until: What to wait for: that the database accepts the login (`login`), that it has this code's
            revision or a newer one (`migrated`), or that this feature repo is applied as well (`applied`).
        timeout_seconds: Longest wait.
        pause: Sleeps for a number of seconds; tests replace it.
        on_wait: Called before each pause with what is missing.

    Raises:
        DependencyDown: The time is up; the message says what is missing.
    """
    deadline = time.monotonic() + timeout_seconds
    while missing := _missing(database, repo_folder, until):
        if time.monotonic() > deadline:
            raise DependencyDown(
                f"The database is not ready after {timeout_seconds:.0f} s: {missing}",
                hint="Look at the log of the migration Job, and whether PostgreSQL runs.",
            )
        on_wait(missing)
        pause(1.0)


def _missing(database: DatabaseSettings, repo_folder: Path, until: Stage) -> str:
    """Describe what the database lacks to be ready, or return ""."""
    try:
        with transaction(database) as connection:
            held = current(connection) if until != "login" else newest()
            if held != newest() and not is_newer(held):
                return f"it is at revision '{held}', this code needs '{newest()}'."
            claims.check(connection, database)
            applied = _STAMP + folder.digest(repo_folder)
            if until == "applied" and catalog.schema_comment(connection, FEAST) != applied:
                return "this feature repo has not been applied yet."
    except Refused as error:
        return error.what
    except (DependencyDown, sa.exc.DBAPIError) as error:
        return str(error).splitlines()[0]
    return ""


@contextmanager
def autocommit(database: DatabaseSettings, name: str) -> Iterator[sa.Connection]:
    """Open an unpooled connection to the database `name` that commits each statement.

    Raises:
        DependencyDown: PostgreSQL does not answer, or refuses the login.
    """
    engine = sa.create_engine(
        database.url(name=name), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True
    )
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.OperationalError as error:
        raise unavailable(database.model_copy(update={"name": name}), error) from error

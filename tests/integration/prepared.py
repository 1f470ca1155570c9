"""Databases with roles and tables, prepared by the migration Job or by an administrator by hand."""

import subprocess
import uuid

from typer.testing import CliRunner

from streamflow.cli.db import app
from streamflow.local.postgres import binary
from streamflow.postgres.engine import engine
from streamflow.postgres.names import quote
from streamflow.schema import prepare, roles
from streamflow.settings import DatabaseSettings


def named(settings):
    """The administrator's settings, with unique database and role names, so that tests do not collide."""
    token = uuid.uuid4().hex[:8]
    names = {
        "name": f"install_{token}",
        "mlflow_name": f"install_mlflow_{token}",
        "role_prefix": f"sf_{token}_",
    }
    database = DatabaseSettings(**settings.database.model_dump() | names)
    return settings.model_copy(update={"database": database})


def by_the_job(admin, passwords, apply):
    """Create roles and grants as the administrator; call `apply` with the settings of `feast_apply`."""
    prepare.prepare(admin.database, passwords)
    apply(as_role(admin, passwords, "feast_apply"))
    prepare.finish(admin.database, admin.feast.repo, {})


def by_hand(admin, passwords, apply):
    """Run the output of `streamflow db roles --print` as the administrator, and all else as the owners."""
    database = admin.database
    names = {"NAME": database.name, "MLFLOW_NAME": database.mlflow_name, "ROLE_PREFIX": database.role_prefix}
    printed = CliRunner().invoke(
        app,
        ["roles", "--print", "--postgresql", "18"],
        env={f"STREAMFLOW_DATABASE__{key}": value for key, value in names.items()},
        catch_exceptions=False,
    )
    text = printed.stdout
    for name, password in passwords.items():
        text = text.replace(
            f"-- ALTER ROLE {quote(database.role_prefix + name)} PASSWORD '...'",
            f"ALTER ROLE {quote(database.role_prefix + name)} PASSWORD '{password}'",
        )
    command = [binary("psql"), "-v", "ON_ERROR_STOP=1", "-q", "-h", database.host, "-p", str(database.port)]
    subprocess.run(
        [*command, "-U", database.user, "postgres"],
        input=text,
        env={"PGPASSWORD": database.secret},
        check=True,
        text=True,
    )
    owner = as_role(admin, passwords, roles.OWNER)
    prepare.prepare(owner.database, {}, with_roles=False)
    apply(as_role(admin, passwords, "feast_apply"))
    prepare.finish(owner.database, owner.feast.repo, passwords, with_roles=False)


def as_role(settings, passwords, role, name=None):
    """Settings of a role, for its own database or the database `name`."""
    login = prepare.as_role(settings.database, role, passwords[role])
    database = login.model_copy(update={"name": name}) if name else login
    return settings.model_copy(update={"database": database})


def remove(admin, passwords):
    """Drop the databases and the roles."""
    database = admin.database
    for role in roles.LOGINS:
        name = database.mlflow_name if role == "mlflow" else None
        engine(as_role(admin, passwords, role, name=name).database).dispose()
    engine(admin.database).dispose()
    with prepare.autocommit(database, "postgres") as connection:
        for name in (database.name, database.mlflow_name):
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)")
        for role in roles.ROLES:
            connection.exec_driver_sql(f"DROP ROLE IF EXISTS {quote(database.role_prefix + role)}")

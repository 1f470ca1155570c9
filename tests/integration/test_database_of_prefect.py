"""The database of Prefect's server: its role reaches this one alone, and no other role reaches it."""

from __future__ import annotations

import uuid

import prepared
import psycopg
import pytest

from streamflow.errors import Refused, UsageError
from streamflow.postgres import catalog
from streamflow.postgres.names import quote
from streamflow.schema import claims, prefect_database, prepare, roles

pytestmark = pytest.mark.postgres

PASSWORDS = {name: f"secret-of-{name}" for name in (*roles.LOGINS, prefect_database.ROLE)}


@pytest.fixture(scope="module")
def server(module_settings):
    """An install with roles and tables, and the role and database of Prefect's server, but for the extension."""
    admin = prepared.named(module_settings)
    prepare.prepare(admin.database, PASSWORDS)
    name = f"install_prefect_{uuid.uuid4().hex[:8]}"
    database = admin.database.model_copy(update={"prefect_name": name, "install": "first/streamflow"})
    with prepare.autocommit(database, "postgres") as connection:
        plan = prepare.make_plan(database, PASSWORDS)
        # Twice, as on an upgrade.
        prefect_database.ensure(connection, plan, name)
        prefect_database.ensure(connection, plan, name)
        claims.claim(connection, database)
    yield admin.model_copy(update={"database": database})
    with prepare.autocommit(database, "postgres") as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)")
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS {quote(database.role_prefix + 'prefect')}")
    prepared.remove(admin, PASSWORDS)


def connect(server, role, name):
    login = prepare.as_role(server.database, role, PASSWORDS[role])
    return psycopg.connect(
        host=login.host, port=login.port, user=login.user, password=login.secret, dbname=name, autocommit=True
    )


def test_its_role_creates_tables_in_it(server):
    with connect(server, "prefect", server.database.prefect_name) as connection:
        connection.execute("CREATE TABLE flow_run (id int)")
        assert connection.execute("SELECT count(*) FROM flow_run").fetchone() == (0,)


@pytest.mark.parametrize("own", ["name", "mlflow_name"])
def test_its_role_reaches_no_other_database_of_the_install(server, own):
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(server, "prefect", getattr(server.database, own))


@pytest.mark.parametrize("role", roles.LOGINS)
def test_no_other_role_reaches_it(server, role):
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(server, role, server.database.prefect_name)


def test_another_install_does_not_take_it_over(server):
    other = prepared.named(server).database.model_copy(
        update={"prefect_name": server.database.prefect_name, "install": "second/streamflow"}
    )
    with pytest.raises(Refused, match="belongs to the install 'first/streamflow'"):
        prepare.prepare(other, PASSWORDS)


def test_without_a_password_of_its_role_nothing_is_created(server):
    name = f"install_prefect_{uuid.uuid4().hex[:8]}"
    database = server.database.model_copy(update={"prefect_name": name})
    few = {key: value for key, value in PASSWORDS.items() if key != "prefect"}
    with pytest.raises(UsageError, match="prefect-password"):
        prepare.prepare(database, few)
    with prepare.autocommit(database, "postgres") as connection:
        assert name not in catalog.databases(connection)


def test_the_extension_is_created_or_its_absence_is_said(server):
    """A laptop's PostgreSQL comes without contrib modules; the chart's has them."""
    database = server.database
    with prepare.autocommit(database, database.prefect_name) as connection:
        available = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"
        if connection.exec_driver_sql(available).scalar_one():
            prefect_database.ensure_extension(connection, "here")
            prefect_database.ensure_extension(connection, "here")
        else:
            with pytest.raises(UsageError, match=r"here does not have the extension pg_trgm"):
                prefect_database.ensure_extension(connection, "here")

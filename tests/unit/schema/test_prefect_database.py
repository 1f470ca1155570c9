"""SQL for the database of Prefect's server."""

from typer.testing import CliRunner

from streamflow.cli.db import app
from streamflow.schema import prefect_database
from streamflow.schema.roles import LOGINS, ROLES, Plan

PLAN = Plan("churn", "churn_mlflow", "sf_", passwords={"prefect": "it's"})


def test_the_role_owns_this_database_and_nobody_else_may_connect():
    assert prefect_database.statements(PLAN, "pre", set(), set()) == [
        'CREATE ROLE "sf_prefect" LOGIN',
        "ALTER ROLE \"sf_prefect\" PASSWORD 'it''s'",
        'CREATE DATABASE "pre" OWNER "sf_prefect"',
        'ALTER DATABASE "pre" OWNER TO "sf_prefect"',
        'REVOKE ALL ON DATABASE "pre" FROM PUBLIC',
        'GRANT CONNECT ON DATABASE "pre" TO "sf_prefect"',
    ]


def test_what_exists_is_not_created_again():
    plan = Plan("churn", "churn_mlflow", "sf_")
    assert not [
        item
        for item in prefect_database.statements(plan, "pre", {"sf_prefect"}, {"pre"})
        if item.startswith("CREATE") or "PASSWORD" in item
    ]


def test_the_role_is_none_of_those_with_grants_in_the_platforms_database():
    assert prefect_database.ROLE not in {*ROLES, *LOGINS}


def printed(**variables):
    environment = {f"STREAMFLOW_DATABASE__{name}": value for name, value in variables.items()}
    return CliRunner().invoke(app, ["roles", "--print"], env=environment, catch_exceptions=False).stdout


def test_the_sql_for_an_administrator_has_it_where_it_is_wanted():
    wanted = printed(PREFECT_NAME="pre", ROLE_PREFIX="sf_")
    assert 'CREATE DATABASE "pre" OWNER "sf_prefect";' in wanted
    assert wanted.endswith('\\connect "pre"\nCREATE EXTENSION IF NOT EXISTS pg_trgm;\n')
    assert "-- ALTER ROLE \"sf_prefect\" PASSWORD '...';" in wanted
    assert "prefect" not in printed(ROLE_PREFIX="sf_")

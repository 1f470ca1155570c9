"""Schemas of views that are limited to one known-at: opened, read and dropped under roles. On a real PostgreSQL."""

import re
from datetime import UTC, datetime, timedelta

import prepared
import pytest
import sqlalchemy as sa

from streamflow.errors import DependencyDown
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import quote
from streamflow.schema import roles

pytestmark = pytest.mark.postgres
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
NOW = datetime(2024, 5, 1, tzinfo=UTC)
VIEWS = '[{"view": "things_snapshots", "table": "things", "columns": ["user_id", "odd \\"name"]}]'


@pytest.fixture(scope="module", params=[prepared.by_the_job, prepared.by_hand])
def server(request, module_settings):
    admin = prepared.named(module_settings)
    request.param(admin, PASSWORDS, tables)
    yield admin
    prepared.remove(admin, PASSWORDS)


def tables(settings):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(
            'CREATE TABLE source.things (user_id text, "odd ""name" text, loaded_at timestamptz)'
        )


def login(server, role):
    return prepared.as_role(server, PASSWORDS, role).database


def opened(server, role, known_at=NOW, views=VIEWS, before=""):
    with transaction(login(server, role)) as connection:
        if before:
            connection.exec_driver_sql(before)
        return connection.execute(
            sa.text("SELECT streamflow.open_known(:known_at, CAST(:views AS jsonb))"),
            {"known_at": known_at, "views": views},
        ).scalar_one()


def close(server, role, schema):
    with transaction(login(server, role)) as connection:
        connection.execute(sa.text("SELECT streamflow.close_known(:schema)"), {"schema": schema})


def rows(server, role, schema, table="things_snapshots"):
    with transaction(login(server, role)) as connection:
        return connection.exec_driver_sql(f"SELECT user_id FROM {schema}.{table}").scalars().all()


@pytest.fixture
def loaded(server):
    with transaction(login(server, "feast_apply")) as connection:
        connection.execute(
            sa.text("INSERT INTO source.things VALUES ('then', '', :then), ('later', '', :later)"),
            {"then": NOW, "later": NOW + timedelta(microseconds=1)},
        )
    yield
    with transaction(login(server, "feast_apply")) as connection:
        connection.exec_driver_sql("DROP TABLE source.things CASCADE")
    tables(prepared.as_role(server, PASSWORDS, "feast_apply"))
    with transaction(login(server, "feast_apply")) as connection:
        connection.exec_driver_sql(f"GRANT SELECT ON source.things TO {quote(login(server, 'owner').user)}")


@pytest.mark.parametrize("role", ["train", "registrar", "score"])
@pytest.mark.parametrize("session", ["", "SET DateStyle = 'SQL, DMY'", "SET TimeZone = 'Asia/Kolkata'"])
def test_a_run_sees_what_was_known_at_its_time_however_its_session_writes_dates(
    server, loaded, role, session
):
    schema = opened(server, role, before=session)
    assert rows(server, role, schema) == ["then"]
    close(server, role, schema)
    with pytest.raises(sa.exc.DBAPIError, match="does not exist"):
        rows(server, role, schema)


def test_only_the_login_that_opened_a_schema_reads_and_drops_it(server):
    schema = opened(server, "train")
    for role in sorted(set(roles.LOGINS) - {"owner", "mlflow", "train", "backup"}):
        with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
            rows(server, role, schema)
    for role in ("score", "registrar"):
        with pytest.raises(sa.exc.DBAPIError, match="was opened by"):
            close(server, role, schema)
    assert rows(server, "train", schema) == []
    close(server, "train", schema)
    close(server, "train", schema)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE {schema}.planted (n integer)",
        "CREATE VIEW {schema}.labels_snapshots AS SELECT 1",
        "CREATE FUNCTION {schema}.planted() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE VIEW {schema}.things_snapshots AS SELECT 'x'::text AS user_id, '' AS \"odd \"\"name\"",
        "DROP SCHEMA {schema} CASCADE",
        "ALTER SCHEMA {schema} RENAME TO mine",
        "INSERT INTO {schema}.things_snapshots VALUES ('x', 'y')",
        "UPDATE streamflow.known_schemas SET opened_at = 'epoch'",
    ],
)
def test_nothing_is_planted_in_a_schema_and_no_schema_is_taken_away(server, statement):
    schema = opened(server, "train")
    for role in ("train", "score", "feast_apply"):
        with (
            pytest.raises(sa.exc.DBAPIError, match=r"permission denied|must be owner"),
            transaction(login(server, role)) as connection,
        ):
            connection.exec_driver_sql(statement.format(schema=schema))
    assert rows(server, "train", schema) == []
    close(server, "train", schema)


@pytest.mark.parametrize(
    "views",
    [
        '[{"view": "v", "table": "x WHERE false; DROP TABLE source.things --", "columns": ["user_id"]}]',
        '[{"view": "v", "table": "things", "columns": ["user_id FROM streamflow.promotions --"]}]',
        '[{"view": "v\\"; DROP TABLE source.things; --", "table": "nothing", "columns": ["user_id"]}]',
        "[{}]",
    ],
)
def test_names_are_names(server, views):
    with pytest.raises((sa.exc.DBAPIError, DependencyDown)) as refused:
        opened(server, "train", views=views)
    assert re.search("does not exist|null", str(refused.value))
    assert rows(server, "feast_apply", "source", "things") == []


@pytest.mark.parametrize("known_at", ["infinity", "-infinity", None])
def test_a_known_at_is_a_time(server, known_at):
    with pytest.raises(sa.exc.DBAPIError, match="is a time"):
        opened(server, "train", known_at=known_at)


def test_what_a_killed_run_left_behind_is_dropped_a_day_later_by_whoever_runs_next(server):
    left, live = opened(server, "train"), opened(server, "train")
    with transaction(login(server, "owner")) as connection:
        connection.execute(
            sa.text(
                "UPDATE streamflow.known_schemas SET opened_at = opened_at - interval '25 hours' WHERE name = :name"
            ),
            {"name": left},
        )
    close(server, "score", opened(server, "score"))
    with transaction(login(server, "owner")) as connection:
        there = (
            connection.exec_driver_sql(
                "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'known_')"
            )
            .scalars()
            .all()
        )
    assert there == [live]
    close(server, "train", live)

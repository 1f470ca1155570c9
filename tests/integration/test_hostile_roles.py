"""Whatever statements a role runs, the audit trail keeps its order, its hashes and true dates. On a real PostgreSQL."""

import contextlib
from datetime import timedelta

import prepared
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.errors import DependencyDown
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import quote
from streamflow.registry import chain
from streamflow.schema import prepare, roles

pytestmark = pytest.mark.postgres
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
SOME_ROLES = sorted(set(roles.LOGINS) - {"owner", "mlflow"})
PERSON = "ada"
EVE = "'eve', 'm', 'staging', NULL, 1, 'promote', 'made up', '{}', '{}', '{}'"

# What a role may set up before it touches the trail. {home} is a schema that it may create in, if there is one.
BENT = (
    "CREATE SCHEMA bent",
    "CREATE FUNCTION {home}.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
    "CREATE OPERATOR {home}.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = {home}.never)",
    "CREATE FUNCTION {home}.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '2020-01-01'$$",
    "CREATE FUNCTION {home}.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$SELECT 'x'::bytea$$",
    "CREATE FUNCTION {home}.greatest(timestamptz, timestamptz) RETURNS timestamptz LANGUAGE sql AS 'SELECT $1'",
    "CREATE TEMP TABLE promotions (promotion_id bigint, hash text, moved_at timestamptz, model text)",
    "CREATE TEMP TABLE row_locks (name text)",
    "CREATE TEMP TABLE pg_namespace (nspowner oid, nspname text)",
    "SET search_path = {home}, pg_temp, streamflow, pg_catalog",
    "SET search_path = pg_temp, streamflow",
    "SELECT set_config('search_path', 'pg_temp', false)",
    "SELECT set_config('streamflow.erasing', 'on', false)",
    "SET TimeZone = 'Pacific/Kiritimati'",
    "SET DateStyle = 'SQL, DMY'",
    "SET session_replication_role = replica",
    "SET plpgsql.variable_conflict = 'use_column'",
    "SET row_security = off",
    "SET transform_null_equals = on",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "SET ROLE {promote}",
    "SELECT pg_advisory_lock(hashtext('streamflow:promotions'))",
    "ALTER FUNCTION streamflow.chain_promotion() RESET ALL",
    "CREATE OR REPLACE FUNCTION streamflow.is_owner() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "ALTER TABLE streamflow.promotions DISABLE TRIGGER ALL",
    "CREATE TRIGGER bent BEFORE INSERT ON streamflow.promotions EXECUTE FUNCTION streamflow.refuse_change()",
    "DROP TRIGGER promotions_chained ON streamflow.promotions",
)
WRITES = (
    f"SELECT streamflow.append_promotion({EVE})",
    f"PREPARE p AS SELECT streamflow.append_promotion({EVE})",
    "EXECUTE p",
    f"DO $$ BEGIN PERFORM streamflow.append_promotion({EVE}); EXCEPTION WHEN OTHERS THEN NULL; END $$",
    "INSERT INTO streamflow.promotions (moved_at, moved_by, model, alias, to_version, action, why)"
    " VALUES ('2020-01-01', 'eve', 'm', 'staging', 1, 'promote', 'made up')",
    "INSERT INTO streamflow.promotions (promotion_id, recorded_at, login, previous_hash, hash, moved_at, moved_by, model,"
    " alias, action, why) VALUES (1, '2020-01-01', 'ada', 'x', 'y', '2020-01-01', 'eve', 'm', 'staging', 'promote', '')",
    "UPDATE streamflow.promotions SET recorded_at = '2020-01-01'",
    "DELETE FROM streamflow.promotions WHERE promotion_id = 1",
    "TRUNCATE streamflow.promotions CASCADE",
    "COPY streamflow.promotions TO PROGRAM 'true'",
    "SELECT * FROM streamflow.promotions FOR UPDATE",
    "UPDATE streamflow.row_locks SET name = 'x'",
    "INSERT INTO streamflow.trained_models VALUES ('m', repeat('0', 64), '', '', '2020-01-01', 'ada')",
    "INSERT INTO streamflow.mlflow_in_line VALUES ('m', 1, '2020-01-01')",
    "INSERT INTO streamflow.releases VALUES (repeat('0', 64), 1, '2020-01-01')",
    "INSERT INTO streamflow.release_checks OVERRIDING SYSTEM VALUE"
    " VALUES (-7, 'm', repeat('0', 64), 'passed', '', '2020-01-01', 'ada')",
)
# Columns that the database alone fills in.
SIGNED = {
    "trained_models": ("trained_at", "login", None),
    "mlflow_in_line": ("since", None, None),
    "releases": ("stored_at", None, None),
    "release_checks": ("recorded_at", "login", "check_id"),
}


def tables(own):
    with transaction(own.database) as connection:
        connection.exec_driver_sql("CREATE TABLE source.things (user_id text PRIMARY KEY)")


@pytest.fixture(scope="module")
def server(module_settings):
    """A database with all roles, and one person with a login of their own."""
    admin = prepared.named(module_settings)
    prepared.by_the_job(admin, PASSWORDS, tables)
    group, person = (quote(admin.database.role_prefix + name) for name in ("promote", PERSON))
    with prepare.autocommit(admin.database, "postgres") as connection:
        connection.exec_driver_sql(f"CREATE ROLE {person} LOGIN PASSWORD '{PERSON}' IN ROLE {group}")
    yield admin
    with prepare.autocommit(admin.database, "postgres") as connection:
        connection.exec_driver_sql(f"DROP ROLE {person}")
    prepared.remove(admin, PASSWORDS)


def as_role(server, role):
    return prepare.as_role(server.database, role, PASSWORDS.get(role, role))


def filled(server, role, statement):
    prefix = server.database.role_prefix
    homes = {"feast_apply": "features", "materialize": "online"}
    return (
        statement.format(
            home=homes.get(role, "pg_temp"), owner=quote(prefix + "owner"), promote=quote(prefix + "promote")
        )
        if statement in BENT
        else statement
    )


def attack(server, role, statements):
    """Run statements in one session as a role, each in a savepoint; what succeeds is committed. Returns those."""
    done = []
    engine = sa.create_engine(as_role(server, role).url(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SET statement_timeout = '5s'")
        for statement in statements:
            cursor.execute("SAVEPOINT before")
            try:
                cursor.execute(filled(server, role, statement))
                done.append(statement)
            except Exception:
                cursor.execute("ROLLBACK TO before")
        cursor.execute("COMMIT")
    return done


def now(connection):
    return connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()


@contextlib.contextmanager
def nothing_is_bent(server, role):
    """Whatever happens inside, rows that were there stay as they were, and new ones are true."""
    with transaction(server.database) as connection:
        rows = connection.exec_driver_sql("SELECT * FROM streamflow.promotions ORDER BY promotion_id").all()
        begun = now(connection)
    yield
    with transaction(server.database) as connection:
        after = connection.exec_driver_sql("SELECT * FROM streamflow.promotions ORDER BY promotion_id").all()
        ended = now(connection)
    assert after[: len(rows)] == rows
    assert chain.broken(chain.links(server.database)) == ()
    login = as_role(server, role).user
    for row in after[len(rows) :]:
        assert begun <= row.moved_at <= row.recorded_at <= ended
        assert row.login == login
    dates = [row.recorded_at for row in after]
    assert dates == sorted(dates)
    with transaction(server.database) as connection:
        for table, (dated, logged_in, number) in SIGNED.items():
            found = connection.exec_driver_sql(f"SELECT * FROM streamflow.{table}").mappings().all()
            assert all(ended - row[dated] < timedelta(hours=1) for row in found)
            assert not logged_in or "ada" not in {row[logged_in] for row in found}
            assert not number or all(row[number] > 0 for row in found)


@pytest.mark.parametrize("role", [*SOME_ROLES, PERSON])
def test_each_attack_alone_and_all_of_them_together_leave_the_trail_true(server, role):
    with nothing_is_bent(server, role):
        for bent in BENT:
            attack(server, role, (bent, *WRITES))
        attack(server, role, (*BENT, *WRITES))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    role=st.sampled_from([*SOME_ROLES, PERSON]),
    statements=st.lists(st.sampled_from((*BENT, *WRITES)), min_size=2, max_size=12),
)
def test_no_sequence_of_statements_bends_the_trail(server, role, statements):
    with nothing_is_bent(server, role):
        attack(server, role, statements)


def test_the_attacks_reach_the_trail(server):
    """Otherwise the tests above would pass because nothing was ever written."""
    with transaction(server.database) as connection:
        count = "SELECT count(*) FROM streamflow.promotions"
        before = connection.exec_driver_sql(count).scalar_one()
    done = attack(server, "train", (*BENT, *WRITES))
    with transaction(server.database) as connection:
        assert connection.exec_driver_sql(count).scalar_one() > before
    assert {
        "CREATE TEMP TABLE promotions (promotion_id bigint, hash text, moved_at timestamptz, model text)"
    } < set(done)
    assert sum(statement in WRITES for statement in done) >= 5


def test_nobody_who_holds_a_lock_keeps_others_from_promoting(server):
    engine = sa.create_engine(as_role(server, "predict").url(), poolclass=sa.NullPool)
    with engine.connect() as holder:
        holder.exec_driver_sql("SELECT pg_advisory_lock(hashtext('streamflow:promotions'))")
        assert attack(server, "train", WRITES[:1]) == list(WRITES[:1])


@pytest.mark.parametrize("role", SOME_ROLES)
def test_no_role_locks_the_end_of_a_chain(server, role):
    for statement in ("SELECT FROM streamflow.row_locks FOR UPDATE", "LOCK TABLE streamflow.row_locks"):
        with (
            pytest.raises((sa.exc.DBAPIError, DependencyDown), match="permission denied"),
            transaction(as_role(server, role)) as connection,
        ):
            connection.exec_driver_sql(statement)

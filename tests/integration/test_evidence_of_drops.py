"""The ledger of drops, source tables and results of jobs under hostile roles. On a real PostgreSQL."""

import re
from datetime import UTC, datetime

import prepared
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from streamflow.cli.drops import app
from streamflow.drops import chain, partitions, tables
from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.postgres import clock, job_runs, locks
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_runs import Ended
from streamflow.schema import prepare, roles

pytestmark = pytest.mark.postgres
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DROP = (
    "INSERT INTO streamflow.drops (drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted, quarantined)"
    " VALUES ({drop_id}, '2020-01-01+00', {sequence}, 'd', {loaded_at}, 'ada', '', 0, 0)"
)
FILE = "INSERT INTO streamflow.drop_files VALUES ({drop_id}, 'labels', 'labels.csv', 's', 1, 1, 1, 0)"
REJECTED = (
    "INSERT INTO streamflow.quarantine (drop_id, table_name, file, line, reason, raw)"
    " VALUES ({drop_id}, 'labels', 'labels.csv', 2, 'made up', '')"
)
NUMBER = "(SELECT drop_number FROM streamflow.drops WHERE drop_id = {drop_id})"
ROW = f"INSERT INTO source.things (user_id, drop_number) VALUES ('x', {NUMBER})"
PART = "source.things_2020_01_01"
INTO_PART = ROW.replace("source.things", PART)
MONTH = "SELECT source.add_partition('things', (SELECT max(drop_number) FROM streamflow.drops))"
REFUSED = r"the clock did not give|is complete|takes rows of the drop|append-only|permission denied|may not"


def things(own):
    with transaction(own.database) as connection:
        partitions.create(connection, "things", "user_id", {})
        guard(connection)


def guard(connection):
    class Empty:
        tables = ()

    tables.ensure(connection, Empty())


@pytest.fixture(scope="module", params=[prepared.by_the_job, prepared.by_hand])
def server(request, module_settings):
    admin = prepared.named(module_settings)
    request.param(admin, PASSWORDS, things)
    yield admin
    prepared.remove(admin, PASSWORDS)


def as_role(server, role):
    return prepare.as_role(server.database, role, PASSWORDS[role])


def run(server, role, *statements):
    with transaction(as_role(server, role)) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def refused(server, role, *statements):
    with pytest.raises((sa.exc.DBAPIError, DependencyDown), match=REFUSED):
        run(server, role, *statements)


# A table whose owner wants the caller to run a function of theirs.
PLANTED = {
    "a trigger": "CREATE TRIGGER t BEFORE DELETE ON source.bait FOR EACH STATEMENT EXECUTE FUNCTION features.evil()",
    "a condition": "CREATE TRIGGER t BEFORE DELETE ON source.bait FOR EACH STATEMENT WHEN (features.asked())"
    " EXECUTE FUNCTION streamflow.refuse_unless_erasing()",
    "a rule": "CREATE RULE r AS ON DELETE TO source.bait DO ALSO SELECT features.asked()",
    "a policy": "ALTER TABLE source.bait ENABLE ROW LEVEL SECURITY",
    "a type": "ALTER TABLE source.bait ADD COLUMN more features.own",
    "a child": "CREATE TABLE source.child () INHERITS (source.bait)",
}
BAIT = (
    "CREATE FUNCTION features.evil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE FUNCTION features.asked() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE TYPE features.own AS (n integer)",
    "CREATE TABLE source.bait (user_id text, as_of timestamptz, loaded_at timestamptz, drop_id text)",
)


@pytest.mark.parametrize("planted", PLANTED)
def test_the_owner_writes_to_no_table_whose_own_code_it_would_run(server, planted):
    check = "SELECT streamflow.refuse_foreign_code('source.bait')"
    run(server, "feast_apply", *BAIT)
    try:
        with transaction(as_role(server, "feast_apply")) as connection:
            guard(connection)
            connection.exec_driver_sql(f'GRANT DELETE ON source.bait TO "{as_role(server, "owner").user}"')
        run(server, "owner", check)
        run(server, "feast_apply", PLANTED[planted])
        with pytest.raises(sa.exc.DBAPIError, match="of its own"):
            run(server, "owner", check)
    finally:
        run(server, "feast_apply", "DROP TABLE source.bait CASCADE", "DROP TYPE features.own CASCADE",
            "DROP FUNCTION features.evil CASCADE", "DROP FUNCTION features.asked CASCADE")  # fmt: skip


def test_a_cast_of_a_columns_own_type_does_not_run_as_the_owner_of_the_platform(server):
    run(
        server, "feast_apply",
        "CREATE TYPE features.own AS (n integer)",
        "CREATE FUNCTION features.cast_own(features.own) RETURNS text LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION USING MESSAGE = concat('this is ', current_user); END$$",
        "CREATE CAST (features.own AS text) WITH FUNCTION features.cast_own(features.own) AS IMPLICIT",
        "GRANT USAGE ON SCHEMA features TO PUBLIC",
        "CREATE TABLE source.bait (as_of timestamptz, loaded_at timestamptz, drop_id features.own)",
    )  # fmt: skip
    try:
        with transaction(as_role(server, "feast_apply")) as connection:
            guard(connection)
            connection.exec_driver_sql(f'GRANT INSERT ON source.bait TO "{as_role(server, "ingest").user}"')
        with (
            pytest.raises(sa.exc.DBAPIError, match=f"this is {as_role(server, 'ingest').user}"),
            transaction(as_role(server, "ingest")) as connection,
        ):
            values = loading(connection, f"bait {next(_SEQUENCE)}")
            connection.exec_driver_sql(
                f"INSERT INTO source.bait VALUES ('2020-01-01', {values['loaded_at']}, ROW(1))"
            )
    finally:
        run(
            server, "feast_apply",
            "DROP TABLE source.bait CASCADE", "DROP TYPE features.own CASCADE",
            "REVOKE USAGE ON SCHEMA features FROM PUBLIC",
        )  # fmt: skip


_SEQUENCE = iter(range(1, 1_000_000))


def loading(connection, name, *, lock=True):
    """Add a drop as ingest does; returns its statements' values."""
    if lock:
        locks.wait(connection, locks.LOADING)
    loaded_at = clock.stamp(connection)
    values = {"drop_id": f"'{name}'", "loaded_at": f"'{loaded_at.isoformat()}'", "sequence": next(_SEQUENCE)}
    connection.exec_driver_sql(DROP.format(**values))
    connection.exec_driver_sql(MONTH)
    return values


def loaded(server, name):
    with transaction(as_role(server, "ingest")) as connection:
        values = loading(connection, name)
        for statement in (FILE, REJECTED, ROW):
            connection.exec_driver_sql(statement.format(**values))
    return values


def test_a_drop_is_loaded_with_its_files_and_rows_and_names_the_login(server):
    loaded(server, "honest")
    with transaction(server.database) as connection:
        login = connection.exec_driver_sql(
            "SELECT login FROM streamflow.drops WHERE drop_id = 'honest'"
        ).scalar_one()
    assert login == as_role(server, "ingest").user
    assert chain.problems(server.database) == ()
    assert chain.problems(as_role(server, "train")) == ()


@pytest.mark.parametrize("loaded_at", ["'2020-01-01'", "clock_timestamp()", "now()", "'infinity'"])
def test_ingest_does_not_date_its_own_drops(server, loaded_at):
    refused(server, "ingest", DROP.format(drop_id="'forged'", sequence=0, loaded_at=loaded_at))


def test_a_stamp_of_another_transaction_dates_no_drop(server):
    with transaction(as_role(server, "ingest")) as connection:
        locks.wait(connection, locks.LOADING)
        old = clock.stamp(connection)
    refused(server, "ingest", DROP.format(drop_id="'forged'", sequence=0, loaded_at=f"'{old.isoformat()}'"))


def test_a_stamp_that_a_known_at_may_have_passed_dates_no_drop(server):
    with (
        pytest.raises(sa.exc.DBAPIError, match=REFUSED),
        transaction(as_role(server, "ingest")) as connection,
    ):
        loading(connection, "forged", lock=False)


def test_a_lock_that_could_be_released_early_is_held_until_the_drop_is_there(server):
    key = locks.key(locks.LOADING)
    with transaction(as_role(server, "ingest")) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({key})")
        loading(connection, "released")
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({key})")
        with transaction(as_role(server, "train")) as other:
            assert not locks.try_now(other, locks.LOADING)


@pytest.mark.parametrize("statement", [FILE, REJECTED, ROW, INTO_PART])
def test_a_complete_drop_takes_no_more_rows(server, statement):
    values = loaded(server, f"complete {next(_SEQUENCE)}")
    statement = statement.replace("'labels'", "'users'")
    refused(server, "ingest", statement.format(**values))
    with (
        pytest.raises(sa.exc.DBAPIError, match=REFUSED),
        transaction(as_role(server, "ingest")) as connection,
    ):
        now = loading(connection, f"another {next(_SEQUENCE)}")
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        connection.exec_driver_sql(statement.format(**now))


NOW = NUMBER.format(drop_id="'forged'")
OLD = NUMBER.format(drop_id="'before'")


@pytest.mark.parametrize("table", ["source.things", PART])
@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (f"('x', {OLD})", "takes rows of the drop"),
        (f"('x', {NOW}), ('y', {OLD})", "takes rows of the drop"),
        (f"('x', {NOW} + 1)", "takes rows of the drop"),
        (f"('x', {NOW} + 4096)", "no partition|violates partition constraint"),
        ("('x', NULL)", "no partition|violates"),
        (f"('x', {NOW}), ('x', {NOW})", "one row of a key"),
        (f"('x', {NOW}), ('y', {NOW}), ('x', {NOW})", "one row of a key"),
    ],
)
def test_source_rows_are_of_the_drop_that_is_loaded_and_each_key_comes_once(server, table, rows, why):
    if "before" in rows and not exists(server, "before"):
        loaded(server, "before")
    with pytest.raises(sa.exc.DBAPIError, match=why), transaction(as_role(server, "ingest")) as connection:
        loading(connection, "forged")
        connection.exec_driver_sql(f"INSERT INTO {table} (user_id, drop_number) VALUES {rows}")


def exists(server, name):
    with transaction(server.database) as connection:
        found = sa.text("SELECT EXISTS (SELECT FROM streamflow.drops WHERE drop_id = :name)")
        return connection.execute(found, {"name": name}).scalar_one()


@pytest.mark.parametrize("first", [ROW, INTO_PART])
@pytest.mark.parametrize("second", [ROW, INTO_PART])
@pytest.mark.parametrize(
    "between",
    ["SELECT 1", "SELECT streamflow.fill_table(0, 'things')", "DELETE FROM streamflow.filled_tables"],
)
def test_the_rows_of_a_drop_come_in_one_statement(server, first, second, between):
    with (
        pytest.raises(sa.exc.DBAPIError, match=REFUSED),
        transaction(as_role(server, "ingest")) as connection,
    ):
        values = loading(connection, f"twice {next(_SEQUENCE)}")
        connection.exec_driver_sql(first.format(**values))
        connection.exec_driver_sql(between)
        connection.exec_driver_sql(second.format(**values).replace("'x'", "'another'"))


def test_rows_in_any_order_are_accepted(server):
    with transaction(as_role(server, "ingest")) as connection:
        values = loading(connection, f"unordered {next(_SEQUENCE)}")
        number = NUMBER.format(**values)
        connection.exec_driver_sql(
            f"INSERT INTO source.things (user_id, drop_number) VALUES ('y', {number}), ('x', {number})"
        )


@pytest.mark.parametrize("role", ["train", "score", "predict", "erase", "materialize"])
def test_no_role_but_ingest_adds_partitions(server, role):
    refused(server, role, MONTH)
    refused(server, role, "SELECT source.index_partition('things', 0)")


def test_a_partition_is_added_for_a_drop_in_the_ledger_alone(server):
    for table, number in (("things", 1), ("nothing", NUMBER.format(drop_id="'honest'"))):
        with pytest.raises(sa.exc.DBAPIError, match=r"no drop has the number|is not a partitioned table"):
            run(server, "ingest", f"SELECT source.add_partition('{table}', {number})")


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("source.things", "user_id"),
        (PART, "user_id"),
        ("streamflow.drops", "digest"),
        ("streamflow.drop_files", "sha256"),
        ("streamflow.drop_chain", "hash"),
        ("streamflow.quarantine", "raw"),
        ("streamflow.job_runs", "message"),
        ("streamflow.scorings", "model"),
        ("streamflow.scores", "entity"),
        ("streamflow.scoring_refusals", "reason"),
    ],
)
def test_evidence_is_append_only_for_its_owners_too(server, table, column, statement):
    sql = statement.format(table, column, column)
    for role in ("owner", "ingest", "feast_apply", "score", "train"):
        refused(server, role, sql)
        if role != "owner":
            refused(server, role, "SET streamflow.erasing = 'on'", sql)


def test_only_the_owner_erases(server):
    loaded(server, "erased")
    run(server, "feast_apply", f'GRANT DELETE ON source.things TO "{as_role(server, "owner").user}"')
    run(
        server,
        "owner",
        "SET LOCAL streamflow.erasing = 'on'",
        "DELETE FROM source.things WHERE drop_number = " + NUMBER.format(drop_id="'erased'"),
    )
    refused(server, "feast_apply", "SET LOCAL streamflow.erasing = 'on'", "DELETE FROM source.things")


def test_a_login_records_runs_of_its_own_jobs_alone(server):
    for role, jobs in (("ingest", ["ingest"]), ("train", ["train", "audit"]), ("score", ["score", "parity"])):
        for job in jobs:
            with transaction(as_role(server, role)) as connection:
                job_runs.record(connection, job, Ended("done"), 1.0, job_runs.record_start(connection, job))
    with transaction(server.database) as connection:
        found = connection.exec_driver_sql("SELECT DISTINCT login, job FROM streamflow.job_runs").all()
    prefix = server.database.role_prefix
    assert {(row.login.removeprefix(prefix), row.job) for row in found} == {
        ("ingest", "ingest"), ("train", "train"), ("train", "audit"), ("score", "score"), ("score", "parity"),
    }  # fmt: skip
    for role, job in (("ingest", "audit"), ("train", "backup"), ("score", "train"), ("backup", "audit")):
        with (
            pytest.raises(sa.exc.DBAPIError, match="may not record runs of the job"),
            transaction(as_role(server, role)) as connection,
        ):
            job_runs.record(connection, job, Ended("done"), 1.0, None)
        with (
            pytest.raises(sa.exc.DBAPIError, match="may not record runs of the job"),
            transaction(as_role(server, role)) as connection,
        ):
            job_runs.record_start(connection, job)


def test_a_login_does_not_end_a_run_of_another_job(server):
    with transaction(as_role(server, "score")) as connection:
        start = job_runs.record_start(connection, "score")
    insert = "INSERT INTO streamflow.job_runs (job, started_at, ended_at, outcome, start_id)"
    with (
        pytest.raises(sa.exc.DBAPIError, match="is not one of the job train"),
        transaction(as_role(server, "train")) as connection,
    ):
        connection.exec_driver_sql(f"{insert} VALUES ('train', now(), now(), 'done', {start.start_id})")


def test_a_start_is_dated_and_numbered_by_the_database_and_never_changed(server):
    insert = "INSERT INTO streamflow.job_starts (start_id, job, started_at, login)"
    run(server, "train", f"{insert} OVERRIDING SYSTEM VALUE VALUES (-1, 'train', '2020-01-01', 'another')")
    with transaction(server.database) as connection:
        newest = "SELECT * FROM streamflow.job_starts WHERE job = 'train' ORDER BY start_id DESC LIMIT 1"
        row = connection.exec_driver_sql(newest).one()
    assert (row.start_id > 0, row.started_at.year > 2020) == (True, True)
    assert row.login == f"{server.database.role_prefix}train"
    for change in ("UPDATE streamflow.job_starts SET job = 'score'", "DELETE FROM streamflow.job_starts"):
        refused(server, "train", change)


@pytest.mark.parametrize("ended_at", ["'2020-01-01'", "now()", "clock_timestamp() + interval '1 year'"])
def test_a_job_does_not_date_its_runs(server, ended_at):
    refused(
        server, "train",
        "INSERT INTO streamflow.job_runs (job, started_at, ended_at, outcome) VALUES"
        f" ('train', '2020-01-01', {ended_at}, 'done')",
    )  # fmt: skip
    refused(server, "train", "INSERT INTO streamflow.job_logins VALUES ('x', 'ingest')")


def test_the_number_of_a_run_is_not_the_jobs_choice(server):
    with transaction(as_role(server, "train")) as connection:
        number = connection.exec_driver_sql(
            "INSERT INTO streamflow.job_runs (run_id, job, started_at, ended_at, outcome, login)"
            " OVERRIDING SYSTEM VALUE SELECT 1000000, 'train', stamp, stamp, 'done', 'ada'"
            " FROM streamflow.next_stamp(now()) RETURNING run_id"
        ).scalar_one()
    assert number < 1000000


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE streamflow.drops SET digest = 'x' WHERE drop_id = '{}'", "was changed"),
        ("UPDATE streamflow.drops SET login = 'x' WHERE drop_id = '{}'", "was changed"),
        ("UPDATE streamflow.drop_files SET sha256 = 'x' WHERE drop_id = '{}'", "was changed"),
        ("DELETE FROM streamflow.drop_files WHERE drop_id = '{}'", "was changed"),
        ("DELETE FROM streamflow.drop_chain WHERE drop_id = '{}'", "is not in the chain"),
        ("ALTER TABLE source.things DISABLE TRIGGER append_only", "without its trigger append_only"),
        ("DROP TRIGGER rows_checked ON source.things", "without its trigger rows_checked"),
        (f"ALTER TABLE {PART} DISABLE TRIGGER append_only", f"{PART} is without its trigger append_only"),
        (f"DROP TRIGGER rows_checked ON {PART}", f"{PART} is without its trigger rows_checked"),
    ],
)
def test_what_an_administrator_changes_is_noticed(server, statement, problem, monkeypatch):
    name = f"victim {next(_SEQUENCE)}"
    loaded(server, name)
    problems = []
    monkeypatch.setattr("streamflow.settings.load", lambda: server)
    with pytest.raises(_Undone), transaction(server.database) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(statement.format(name))
        problems += chain.hash_chain.broken(chain.read(connection), "Drop") + tables.unguarded(connection)
        problems += [
            f"{row} is not in the chain"
            for row in connection.execute(sa.text(chain._SQL["unlinked"])).scalars()
        ]
        raise _Undone
    assert any(problem in found for found in problems)
    assert CliRunner().invoke(app, ["list", "--verify"]).exit_code == 0


class _Undone(Exception):
    """Rolls a test's own transaction back."""


def test_features_apply_puts_triggers_back(server):
    run(
        server,
        "feast_apply",
        "DROP TRIGGER append_only ON source.things",
        f"DROP TRIGGER rows_checked ON {PART}",
    )
    with pytest.raises(StreamFlowError, match="tampered"):
        chain.verify(server.database)
    with transaction(as_role(server, "ingest")) as connection:
        guard(connection)
    with transaction(as_role(server, "feast_apply")) as connection:
        guard(connection)
    chain.verify(server.database)


ATTACKS = [
    DROP, FILE, REJECTED, ROW, INTO_PART, MONTH,
    f"INSERT INTO source.things (user_id, drop_number) VALUES ('y', {NUMBER}), ('y', {NUMBER})",
    "SELECT streamflow.fill_table(0, 'things')", "DELETE FROM streamflow.filled_tables",
    f"DELETE FROM {PART}", f"TRUNCATE {PART}", f"DROP TABLE {PART}",
    f"ALTER TABLE source.things DETACH PARTITION {PART}", "SELECT source.index_partition('things', 74793)",
    "SELECT streamflow.next_stamp(now())",
    "SELECT streamflow.next_stamp('2020-01-01')",
    f"SELECT pg_advisory_xact_lock({locks.key(locks.LOADING)})",
    f"SELECT pg_advisory_lock({locks.key(locks.LOADING)})",
    f"SELECT pg_advisory_unlock({locks.key(locks.LOADING)})",
    "SAVEPOINT s", "ROLLBACK TO s", "COMMIT", "BEGIN",
    "SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED",
    "CREATE TEMP TABLE drops (drop_id text, as_of timestamptz, loaded_at timestamptz)",
    "CREATE TEMP TABLE given_stamps AS SELECT timestamptz '2020-01-01' AS stamp, pg_current_xact_id() AS transaction,"
    " true AS loading",
    "SET search_path = pg_temp, streamflow", "SET streamflow.erasing = 'on'", "SET session_replication_role = replica",
    "INSERT INTO streamflow.given_stamps VALUES ('2020-01-01', pg_current_xact_id(), true)",
    "INSERT INTO streamflow.drop_chain VALUES (1, {drop_id}, '', '')",
    "UPDATE source.things SET drop_number = drop_number + 1", "DELETE FROM source.things", "TRUNCATE source.things",
    "ALTER TABLE source.things DISABLE TRIGGER ALL",
]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(
        st.tuples(
            st.sampled_from(ATTACKS),
            st.sampled_from(["'a'", "'b'", "'honest'"]),
            st.sampled_from(
                ["'2020-01-01'", "now()", "(SELECT max(loaded_at) FROM streamflow.drops)", "{stamp}"]
            ),
        ),
        min_size=2,
        max_size=14,
    )
)
def test_no_sequence_of_statements_of_ingest_dates_a_row_back_or_adds_one_to_a_complete_drop(server, plan):
    begun, before = stamped(server), rows_of_things(server)
    attack(server, plan)
    ended = stamped(server)
    assert chain.problems(server.database) == ()
    with transaction(server.database) as connection:
        drops = {r.drop_id: r for r in connection.exec_driver_sql("SELECT * FROM streamflow.drops")}
    for drop in drops.values():
        assert LONG_AGO < drop.loaded_at <= ended
        assert drop.login == as_role(server, "ingest").user
    after = rows_of_things(server)
    assert {row.drop_number for row in after} <= {drop.drop_number for drop in drops.values()}
    assert len(set(after)) == len(after)
    complete = {row.drop_number for row in before}
    assert [row for row in after if row.drop_number in complete] == before
    assert begun < ended


def rows_of_things(server):
    with transaction(server.database) as connection:
        statement = "SELECT user_id, drop_number FROM source.things ORDER BY drop_number, user_id"
        return connection.exec_driver_sql(statement).all()


def stamped(server):
    with transaction(as_role(server, "ingest")) as connection:
        return clock.stamp(connection)


def attack(server, plan):
    """Run statements of a role in one session, as far as they succeed."""
    engine = sa.create_engine(
        as_role(server, "ingest").url(), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )
    stamp = "'2020-01-01'"
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SET statement_timeout = '5s'")
        for statement, drop_id, loaded_at in plan:
            values = {
                "drop_id": drop_id,
                "loaded_at": loaded_at.format(stamp=stamp),
                "sequence": next(_SEQUENCE),
            }
            try:
                cursor.execute(statement.format(**values))
                if "next_stamp" in statement:
                    stamp = "'" + re.findall(r'"([^"]+)"', str(cursor.fetchone()))[-1] + "'"
            except Exception:
                connection.connection.rollback()

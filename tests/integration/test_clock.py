"""One clock for loaded-at, known-at, materializations and runs of jobs. On a real PostgreSQL."""

import itertools
import threading
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from clocks import DAY, NOON, TICK, Clocks
from typer.testing import CliRunner

from streamflow.cli.db import app
from streamflow.errors import DependencyDown, Refused, UsageError
from streamflow.jobs.run import run
from streamflow.local import doctor
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import AuditResult

pytestmark = pytest.mark.postgres
HOUR = timedelta(hours=1)


@pytest.fixture
def clocks(settings, monkeypatch):
    return Clocks(settings.database, monkeypatch)


def job_runs(settings):
    with transaction(settings.database) as connection:
        return connection.execute(
            sa.text("SELECT started_at, ended_at, outcome, message FROM streamflow.job_runs ORDER BY run_id")
        ).all()


def test_a_stamp_is_the_servers_time_and_no_two_are_equal(clocks):
    assert clocks.stamp() == NOON
    assert clocks.stamp() == NOON + TICK
    clocks.set(NOON + HOUR)
    assert clocks.stamp() == NOON + HOUR


def test_after_the_clock_was_set_back_stamps_go_on_from_the_newest(clocks):
    clocks.set(NOON + HOUR)
    newest = clocks.stamp()
    clocks.set(NOON)
    assert [clocks.stamp(), clocks.known_now()] == [newest + TICK, newest + 2 * TICK]
    clocks.set(NOON + 2 * HOUR)
    assert clocks.stamp() == NOON + 2 * HOUR


def test_a_stamp_stays_given_when_its_transaction_is_rolled_back(clocks, settings):
    with pytest.raises(ZeroDivisionError), transaction(settings.database) as connection:
        given = clock.known_now(connection)
        raise ZeroDivisionError
    assert clocks.stamp() == given + TICK


def test_nobody_waits_for_the_transaction_that_took_a_stamp(clocks, settings):
    with transaction(settings.database) as connection:
        first = clock.stamp(connection)
        with transaction(settings.database) as other:
            other.exec_driver_sql("SET LOCAL statement_timeout = '10s'")
            assert clock.stamp(other) == first + TICK


def test_stamps_taken_at_the_same_moment_differ(clocks, settings):
    taken = []

    def take():
        for _ in range(50):
            taken.append(clocks.stamp())

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [NOON + n * TICK for n in range(200)]


def test_a_drop_that_no_stamp_dated_counts_too(clocks, settings):
    with transaction(settings.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.drops VALUES ('d', '2024-03-31+00', 1, 'd', :loaded, 'old release', '', 0, 0)"
            ),
            {"loaded": NOON + HOUR},
        )
    assert clocks.known_now() == NOON + HOUR + TICK


def test_a_server_clock_more_than_a_day_ahead_of_the_newest_stamp_and_of_the_callers_clock_is_refused(clocks):
    newest = clocks.stamp()
    clocks.set_server(newest + DAY + TICK)
    with pytest.raises(Refused, match="more than a day ahead") as refused:
        clocks.stamp()
    assert "db clock --accept" in str(refused.value)
    clocks.machine = NOON + TICK
    assert clocks.stamp() == newest + DAY + TICK


def test_a_server_clock_a_day_ahead_of_the_newest_stamp_is_not_refused(clocks):
    clocks.stamp()
    clocks.set_server(NOON + DAY)
    assert clocks.stamp() == NOON + DAY


def test_a_platform_that_was_idle_for_weeks_goes_on(clocks):
    clocks.stamp()
    clocks.set(NOON + timedelta(days=60))
    assert clocks.stamp() == NOON + timedelta(days=60)


@pytest.mark.parametrize("off", [-DAY, DAY])
def test_the_clock_of_the_machine_is_never_a_stamp(clocks, off):
    clocks.stamp()
    clocks.machine = NOON + off
    clocks.set_server(NOON + HOUR)
    assert clocks.stamp() == NOON + HOUR


def test_a_newest_stamp_a_day_ahead_of_both_clocks_is_refused_until_somebody_accepts_it(clocks):
    clocks.set(NOON + timedelta(days=365))
    wrong = clocks.stamp()
    clocks.set(NOON)
    for take in (clocks.stamp, clocks.known_now):
        with pytest.raises(Refused):
            take()
    assert clocks.read().newest == wrong
    assert clocks.accept() == wrong + TICK
    assert clocks.stamp() == wrong + TICK
    assert clocks.known_now() == wrong + 2 * TICK


def test_accepting_lets_no_later_jump_pass(clocks):
    clocks.stamp()
    clocks.set_server(NOON + 30 * DAY)
    with pytest.raises(Refused):
        clocks.stamp()
    clocks.accept()
    assert clocks.stamp() == NOON + 30 * DAY
    clocks.set_server(NOON + 31 * DAY + TICK)
    with pytest.raises(Refused):
        clocks.stamp()


def test_a_day_has_24_hours_in_every_time_zone_of_a_session(clocks, settings):
    """In New York, the night to 2024-03-10 has 23 hours and the night to 2024-11-03 has 25."""
    for before in ("2024-03-09T20:00:00+00:00", "2024-11-02T20:00:00+00:00"):
        moment = NOON.fromisoformat(before)
        clocks.set(moment)
        clocks.stamp()
        for off, refused in ((DAY, False), (DAY + TICK, True)):
            clocks.set_server(moment + off)
            with transaction(settings.database) as connection:
                connection.exec_driver_sql("SET LOCAL TIME ZONE 'America/New_York'")
                assert clock.read(connection).refused is refused


def test_a_known_at_in_the_future_of_the_newest_stamp_is_refused(clocks, settings):
    with transaction(settings.database) as connection:
        present = clock.known_now(connection)
        with pytest.raises(UsageError, match="in the future"):
            clock.known_until(connection, present + HOUR)
        assert clock.known_until(connection, present) == present


def test_runs_of_jobs_are_in_order_and_never_longer_than_they_were(clocks, settings):
    for now in (NOON, NOON - HOUR, NOON + HOUR, NOON):
        clocks.set(now)
        assert run(settings, "audit", lambda s: AuditResult(True, ())) == 0
    rows = job_runs(settings)
    ended = [row.ended_at for row in rows]
    assert ended == sorted(set(ended))
    assert all(timedelta(0) <= row.ended_at - row.started_at < timedelta(minutes=1) for row in rows)


def test_a_job_that_is_refused_for_the_clock_is_recorded_and_does_not_move_it(clocks, settings):
    newest = clocks.stamp()
    clocks.set_server(NOON + 30 * DAY)

    def recipe(_):
        clocks.stamp()

    assert run(settings, "train", recipe) == 3
    (row,) = job_runs(settings)
    assert (row.outcome, row.ended_at) == ("refused", newest + TICK)
    assert "more than a day ahead" in row.message
    assert run(settings, "train", recipe) == 3, "the record of the first run does not vouch for the second"


def test_who_may_record_no_job_may_not_set_the_time(clocks, settings):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("CREATE ROLE reader_of_the_clock")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA streamflow TO reader_of_the_clock")
        connection.exec_driver_sql("SET LOCAL SESSION AUTHORIZATION reader_of_the_clock")
        assert not clock.read(connection).refused
        with pytest.raises(sa.exc.ProgrammingError) as error, connection.begin_nested():
            clock.stamp(connection)
        assert isinstance(error.value.orig, psycopg.errors.InsufficientPrivilege)
        with pytest.raises(sa.exc.ProgrammingError), connection.begin_nested():
            clock.accept(connection, "I would like to")
        connection.rollback()


def test_a_database_of_an_older_version_is_to_be_migrated(clocks, settings):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("DROP FUNCTION streamflow.next_stamp")
    with pytest.raises(DependencyDown, match="db migrate"):
        clocks.stamp()


def finding(settings):
    return next(item for item in doctor.examine(settings) if item.subject == "clock")


def test_doctor_says_what_is_wrong_with_the_clocks_and_how_to_repair_it(clocks, settings):
    clocks.stamp()
    assert finding(settings).state == "ok"
    clocks.set_server(NOON + 30 * DAY)
    assert finding(settings).state == "wrong"
    assert "db clock --accept" in finding(settings).advice
    clocks.set(NOON - HOUR)
    assert (finding(settings).state, "no drop is hidden" in finding(settings).advice) == ("note", True)
    clocks.set(NOON - 2 * DAY)
    assert finding(settings).state == "wrong"
    assert "db clock --accept" in finding(settings).advice
    with transaction(settings.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.drops VALUES ('2024-03-31-wrong', '2024-03-31+00', 1, 'd', :at, 'x', '', 0, 0)"
            ),
            {"at": NOON},
        )
    assert "2024-03-31-wrong" in finding(settings).found
    assert "streamflow restore" in finding(settings).advice
    assert f"before {NOON:%Y-%m-%d %H:%M}" in finding(settings).advice
    clocks.accept()
    assert finding(settings).state == "note"


def test_the_command_shows_the_clocks_and_accepts_with_a_reason(clocks, settings):
    def call(*arguments):
        return CliRunner().invoke(app, ["clock", *arguments])

    clocks.stamp()
    assert call().exit_code == 0
    clocks.set_server(NOON + 30 * DAY)
    assert isinstance(call().exception, Refused)
    assert call("--accept", " ").exit_code == 2
    accepted = call("--accept", "the clock is right")
    assert accepted.exit_code == 0, accepted.output
    assert "2024-04-29 12:00:00" in accepted.stdout
    assert clocks.stamp() == NOON + 30 * DAY
    with transaction(settings.database) as connection:
        row = connection.execute(sa.text("SELECT * FROM streamflow.accepted_stamps")).one()
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), connection.begin_nested():
            connection.execute(sa.text("DELETE FROM streamflow.accepted_stamps"))
    assert (row.accepted, row.login, row.why) == (
        NOON + 30 * DAY,
        settings.database.user,
        "the clock is right",
    )


def test_a_migrated_database_goes_on_from_its_newest_stamp(clocks, settings):
    """What the migration does when it finds stamps, here with one of each kind as the newest."""
    from streamflow.schema.revisions import FOLDER

    *_, seed = (FOLDER / "0007_one_clock.sql").read_text(encoding="utf-8").split("\n\n")
    assert "max(ended_at)" in seed
    newest = itertools.count(1)
    with transaction(settings.database) as connection:
        for statement in (
            "INSERT INTO streamflow.drops VALUES ('d', '2024-03-31+00', 1, 'd', :at, 'x', '', 0, 0)",
            "INSERT INTO online.materializations (feature_view, window_start, window_end, rows, materialized_at)"
            " VALUES ('v', now(), now(), 0, :at)",
            "INSERT INTO streamflow.scorings (model, version, fingerprint, as_of, known_at)"
            " VALUES ('m', 1, 'f', now(), :at)",
            "INSERT INTO streamflow.job_runs (job, started_at, ended_at, outcome) VALUES ('j', now(), :at, 'done')",
        ):
            at = NOON + next(newest) * HOUR
            connection.execute(sa.text(statement), {"at": at})
            connection.connection.cursor().execute(seed)
            assert clock.read(connection).newest == at

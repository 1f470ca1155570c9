"""What wraps a job: one at a time, its outcome on record, its exit code. On a real PostgreSQL."""

import os
import signal
import threading

import pytest
import sqlalchemy as sa

from streamflow import settings as settings_module
from streamflow.errors import DependencyDown, NotYet, Refused
from streamflow.jobs.run import run
from streamflow.postgres.engine import transaction

pytestmark = pytest.mark.postgres


def outcomes(settings):
    with transaction(settings) as connection:
        rows = connection.execute(
            sa.text("SELECT job, outcome, message, facts FROM streamflow.job_runs ORDER BY run_id")
        )
        return [tuple(row) for row in rows]


def test_a_job_that_is_done_leaves_its_facts(settings):
    assert run(settings, "train", lambda s: {"version": 3}) == 0
    assert outcomes(settings) == [("train", "done", "", {"version": 3})]


def test_refused_and_down_and_a_bug_have_their_own_exit_codes(settings):
    def refused(_):
        raise Refused("The drop is bad.", details=("users.csv has no column user_id",))

    def down(_):
        raise DependencyDown("MLflow does not answer.")

    assert run(settings, "ingest", refused) == 3
    assert run(settings, "train", down) == 4
    assert run(settings, "score", lambda s: 1 / 0) == 1
    found = outcomes(settings)
    assert [(job, outcome) for job, outcome, *_ in found] == [
        ("ingest", "refused"),
        ("train", "failed"),
        ("score", "failed"),
    ]
    assert "users.csv has no column user_id" in found[0][2]
    assert found[2][2] == "ZeroDivisionError: division by zero"


def test_a_job_that_has_nothing_to_do_yet_ends_well_and_says_why(settings):
    def idle(_):
        raise NotYet("There is no drop.", hint="Load one.")

    assert run(settings, "materialize", idle) == 0
    assert outcomes(settings) == [("materialize", "done", "", {"idle": "There is no drop."})]


def test_a_second_run_says_so_and_ends_well_while_the_first_works(settings):
    working, go_on = threading.Event(), threading.Event()

    def slow(_):
        working.set()
        assert go_on.wait(30)

    codes = []
    first = threading.Thread(target=lambda: codes.append(run(settings, "train", slow)))
    first.start()
    assert working.wait(30)
    try:
        assert run(settings, "train", lambda s: pytest.fail("two at once")) == 0
        assert run(settings, "score", lambda s: None) == 0
    finally:
        go_on.set()
        first.join()
    assert codes == [0]
    assert sorted((job, outcome) for job, outcome, *_ in outcomes(settings)) == [
        ("score", "done"),
        ("train", "done"),
    ]
    assert run(settings, "train", lambda s: None) == 0


def test_a_job_that_is_told_to_stop_leaves_its_outcome(settings):
    def stopped(_):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    assert run(settings, "train", stopped) == 143
    assert outcomes(settings)[0][:2] == ("train", "failed")
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_database_the_job_says_which_and_exits_with_4():
    away = settings_module.load(database={"port": 1, "connect_timeout_seconds": 1})
    assert run(away, "train", lambda s: pytest.fail("ran without its lock")) == 4

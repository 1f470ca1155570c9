"""Running a job: the lock, the recorded outcome and the exit code. On a real PostgreSQL."""

import os
import signal
import threading

import pytest
import sqlalchemy as sa

from streamflow import settings as settings_module
from streamflow.errors import DependencyDown, NotYet, Refused
from streamflow.jobs.run import run
from streamflow.postgres import job_results
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import AuditResult

pytestmark = pytest.mark.postgres

DONE = AuditResult(chain_ok=True, problems=())


def outcomes(settings):
    with transaction(settings.database) as connection:
        rows = connection.execute(
            sa.text("SELECT job, outcome, message, facts FROM streamflow.job_runs ORDER BY run_id")
        )
        return [tuple(row) for row in rows]


def test_a_finished_job_records_its_result(settings):
    assert run(settings, "audit", lambda s: DONE) == 0
    facts = {"chain_ok": True, "problems": [], "losses": [], "result_version": 2}
    assert outcomes(settings) == [("audit", "done", "", facts)]


def test_the_newest_result_is_that_of_the_last_run_that_had_something_to_do(settings):
    def idle(_):
        raise NotYet("There is no drop.", hint="Load one.")

    def newest():
        with transaction(settings.database) as connection:
            return job_results.newest(connection, AuditResult)

    assert newest() is None
    broken = AuditResult(chain_ok=False, problems=("row 3 was changed",))
    for recipe in (lambda s: broken, lambda s: DONE, idle, lambda s: 1 / 0):
        run(settings, "audit", recipe)
    assert newest() == DONE


def test_refused_dependency_down_and_a_bug_have_different_exit_codes(settings):
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
    assert found[2][2].startswith("builtins.ZeroDivisionError at test_job_run.")


def test_a_job_with_nothing_to_do_yet_succeeds_and_records_why(settings):
    def idle(_):
        raise NotYet("There is no drop.", hint="Load one.")

    assert run(settings, "materialize", idle) == 0
    assert outcomes(settings) == [
        ("materialize", "done", "", {"idle": "There is no drop.", "result_version": 2})
    ]


@pytest.mark.fault("F14")
def test_a_second_run_does_nothing_and_succeeds_while_the_first_works(settings):
    working, go_on = threading.Event(), threading.Event()

    def slow(_):
        working.set()
        assert go_on.wait(30)
        return DONE

    codes = []
    first = threading.Thread(target=lambda: codes.append(run(settings, "train", slow)))
    first.start()
    assert working.wait(30)
    try:
        assert run(settings, "train", lambda s: pytest.fail("two at once")) == 0
        assert run(settings, "score", lambda s: DONE) == 0
    finally:
        go_on.set()
        first.join()
    assert codes == [0]
    assert sorted((job, outcome) for job, outcome, *_ in outcomes(settings)) == [
        ("score", "done"),
        ("train", "done"),
    ]
    assert run(settings, "train", lambda s: DONE) == 0


def test_a_job_stopped_by_sigterm_records_its_outcome(settings):
    def stopped(_):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    assert run(settings, "train", stopped) == 143
    assert outcomes(settings)[0][:2] == ("train", "failed")
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_database_the_job_names_it_and_exits_with_4():
    away = settings_module.load(database={"port": 1, "connect_timeout_seconds": 1})
    assert run(away, "train", lambda s: pytest.fail("ran without its lock")) == 4

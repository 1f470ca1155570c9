"""Running a job: the lock, the wait for other jobs, the recorded outcome and the exit code. On a real PostgreSQL."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from streamflow import settings as settings_module
from streamflow.errors import DependencyDown, NotYet, Refused
from streamflow.jobs.run import run
from streamflow.postgres import job_results, job_runs, locks
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


def after(settings, *jobs):
    return settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"after": jobs})})


@contextlib.contextmanager
def at_work(settings, job, result=DONE):
    """A run of a job that ends with the `with` block, in a thread."""
    working, go_on, codes = threading.Event(), threading.Event(), []

    def slow(_):
        working.set()
        assert go_on.wait(60)
        return result

    thread = threading.Thread(target=lambda: codes.append(run(settings, job, slow)))
    thread.start()
    try:
        assert working.wait(30)
        yield
    finally:
        go_on.set()
        thread.join()
    assert codes == [0]


def eventually(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "in vain for a minute"
        time.sleep(0.05)


def running(settings, *jobs):
    with transaction(settings.database) as connection:
        return job_runs.running(connection, jobs)


def test_a_job_waits_for_a_running_one_and_disturbs_nobody(settings, capsys):
    worked = []

    def work(_):
        worked.append(running(settings, "ingest"))
        return DONE

    waiting = threading.Thread(target=run, args=(after(settings, "ingest"), "materialize", work))
    with at_work(settings, "ingest"):
        waiting.start()
        eventually(lambda: "waiting for other jobs" in capsys.readouterr().out)
        assert running(settings, "ingest", "materialize", "train") == ("ingest", "materialize")
        # A further run of either does nothing, as without a wait.
        assert run(after(settings, "ingest"), "materialize", lambda s: pytest.fail("two at once")) == 0
        assert run(settings, "ingest", lambda s: pytest.fail("two at once")) == 0
        assert outcomes(settings) == [] == starts(settings, "materialize")
    waiting.join(60)
    assert worked == [()]
    assert [(job, outcome) for job, outcome, *_ in outcomes(settings)] == [
        ("ingest", "done"),
        ("materialize", "done"),
    ]
    assert capsys.readouterr().out.count("waited for other jobs") == 1


def starts(settings, job):
    with transaction(settings.database) as connection:
        statement = sa.text("SELECT started_at FROM streamflow.job_starts WHERE job = :job")
        return list(connection.execute(statement, {"job": job}).scalars())


def test_an_ingest_that_starts_while_materialize_waits_for_another_is_not_skipped(settings):
    """Looking at a lock by taking it would make such a run believe that it was running already."""
    looking = after(settings, "ingest")
    stop = threading.Event()

    def look():
        while not stop.is_set():
            running(looking, "ingest")

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(20):
            assert run(settings, "ingest", lambda s: DONE) == 0
    finally:
        stop.set()
        looker.join()
    assert len(outcomes(settings)) == 20


def test_a_job_waits_for_one_that_waits_itself(settings, capsys):
    order = []

    def noted(job):
        return lambda _: order.append(job) or DONE

    with at_work(settings, "ingest"):
        threads = []
        for job, before in (("materialize", "ingest"), ("train", "materialize")):
            threads.append(threading.Thread(target=run, args=(after(settings, before), job, noted(job))))
            threads[-1].start()
            eventually(lambda: "waiting for other jobs" in capsys.readouterr().out)
    for thread in threads:
        thread.join(60)
    assert order == ["materialize", "train"]


def test_what_is_not_running_is_not_waited_for(settings, capsys):
    assert run(after(settings, "ingest", "no such job"), "materialize", lambda s: DONE) == 0
    assert "other jobs" not in capsys.readouterr().out


def test_a_run_begins_when_its_wait_ends(settings, capsys):
    waiting = threading.Thread(target=run, args=(after(settings, "ingest"), "train", lambda s: DONE))
    with at_work(settings, "ingest"):
        waiting.start()
        eventually(lambda: "waiting for other jobs" in capsys.readouterr().out)
    waiting.join(60)
    with transaction(settings.database) as connection:
        rows = connection.exec_driver_sql("SELECT job, started_at, ended_at FROM streamflow.job_runs")
        when = {row.job: row for row in rows}
    assert when["ingest"].ended_at <= when["train"].started_at <= when["train"].ended_at


WAIT = """
import sys
from streamflow import settings
from streamflow.jobs.run import run
sys.exit(run(settings.load(), "materialize", lambda s: sys.exit("worked")))
"""


def test_a_wait_that_the_deadline_ends_is_recorded_with_the_job_that_was_waited_for(settings):
    variables = settings.database.variables | {"STREAMFLOW_JOBS__AFTER": '["ingest"]'}
    with (
        at_work(settings, "ingest"),
        subprocess.Popen(
            [sys.executable, "-c", WAIT], env=os.environ | variables, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert "waiting for other jobs" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 143
        ((job, outcome, message, _),) = outcomes(settings)
        assert (job, outcome) == ("materialize", "failed")
        assert "while it waited for the job ingest" in message
        assert starts(settings, "materialize") == []


def test_a_job_whose_lock_is_lost_while_it_waits_fails(settings, capsys):
    """The lock goes with the connection, and another run of the job may have begun."""
    codes = []
    with at_work(settings, "ingest"):
        arguments = (after(settings, "ingest"), "train", lambda s: pytest.fail("worked without its lock"))
        waiting = threading.Thread(target=lambda: codes.append(run(*arguments)))
        waiting.start()
        eventually(lambda: "waiting for other jobs" in capsys.readouterr().out)
        with transaction(settings.database) as connection:
            ended = connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid::bigint = :key AND granted"
                ),
                {"key": locks.key(locks.of_job("train"))},
            ).scalar_one()
        assert ended
        waiting.join(60)
        assert codes == [4]
        assert [(job, outcome) for job, outcome, *_ in outcomes(settings)] == [("train", "failed")]

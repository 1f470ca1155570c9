"""The job `promote`: it asks the registrar and waits for the answer; the same key never promotes twice."""

from __future__ import annotations

import contextlib
import itertools
import threading
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from test_registrar_process import page, serving, until

from streamflow.errors import UsageError
from streamflow.gate import decision
from streamflow.jobs import catalog
from streamflow.jobs.promote import promote
from streamflow.jobs.run import run
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import PromoteResult
from streamflow.registrar import api_answers
from streamflow.registry import trail
from streamflow.settings import RequestSettings

pytestmark = [pytest.mark.postgres]

ASKED = {"version": 1, "why": "looked at the report", "by": "prefect:ada", "key": "run-7"}


def asking(settings, **changes):
    return settings.model_copy(update={"request": RequestSettings(**(ASKED | changes))})


def job(settings, **changes):
    """Exit code of the job, and what it recorded."""
    code = run(asking(settings, **changes), "promote", catalog.recipe("promote"))
    with transaction(settings.database) as connection:
        statement = "SELECT outcome, message, facts FROM streamflow.job_runs ORDER BY run_id DESC LIMIT 1"
        row = connection.exec_driver_sql(statement).one()
    return code, row.outcome, row.message, row.facts


def asked(settings):
    with transaction(settings.database) as connection:
        return connection.exec_driver_sql(
            "SELECT version, alias, why, asked_by, idempotency_key FROM streamflow.promotion_requests ORDER BY asked_at"
        ).all()


def rows(settings):
    history = trail.history(settings.database, settings.mlflow.registered_model)
    return sorted((m.alias, m.to_version, m.moved_by, m.why) for m in history)


@contextlib.contextmanager
def answering(settings):
    """A registrar in a thread, which answers what is asked until the end of the `with` block."""
    stop = threading.Event()

    def answer():
        while not stop.wait(0.1):
            api_answers.answer_waiting(settings.backends, settings.promotion)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_registrar_promotes_or_refuses_and_a_repeated_run_gets_the_same_answer(settings, make):
    first, second = make(2)
    with serving("registrar") as (_, metrics):
        until(lambda: "streamflow_registrar_leader 1.0" in page(metrics, "/metrics"))
        code, outcome, _, facts = job(settings, version=first, to="staging")
        assert (code, outcome, facts["version"], facts["promotion_id"]) == (0, "done", first, 1)
        assert job(settings, version=first, to="staging") == (0, "done", "", facts)
        # There is no data for the gate to judge by.
        code, outcome, message, _ = job(settings, version=second, key="run-8")
        assert (code, outcome) == (3, "refused")
        assert "The gate refuses version 2" in message
        again = job(settings, version=second, key="run-8")
        assert again == (3, "refused", message, {})
    assert [row.idempotency_key for row in asked(settings)] == ["run-7", "run-8"]
    assert len(rows(settings)) == 2


def test_production_takes_both_steps_and_the_ledger_names_who_asked(settings, make, monkeypatch):
    passed = SimpleNamespace(passed=True, failures=(), summary=lambda: {"verdict": "passed"})
    monkeypatch.setattr(decision, "decide", lambda *_: passed)
    (first,) = make(1)
    with answering(settings):
        result = promote(asking(settings, version=first))
        assert promote(asking(settings, version=first)) == result
    assert isinstance(result, PromoteResult) and result.version == first
    said = (first, "prefect:ada", "looked at the report")
    assert rows(settings) == [("production", *said), ("staging", *said)]
    assert asked(settings) == [(first, "production", "looked at the report", "prefect:ada", "run-7")]


def test_a_run_that_got_no_answer_in_time_fails_and_the_next_one_finds_it(settings, mlflow_server):
    code, outcome, message, _ = job(settings, to="staging", wait_seconds=0.1)
    assert (code, outcome) == (4, "failed")
    assert "has not answered request" in message and "stays open" in message
    with answering(settings):
        code, outcome, message, _ = job(settings, to="staging")
    assert (code, outcome) == (3, "refused")
    assert "There is no version 1" in message
    assert len(asked(settings)) == 1


def test_a_key_that_asked_for_something_else_is_refused(settings):
    assert job(settings, to="staging", wait_seconds=0.1)[0] == 4
    code, outcome, message, _ = job(settings, version=2, to="staging")
    assert (code, outcome) == (3, "refused")
    assert "asks for something else" in message
    assert len(asked(settings)) == 1


NEEDED = ("version", "why", "by", "key")
SOME_MISSING = [given for count in range(4) for given in itertools.combinations(NEEDED, count)]


@pytest.mark.parametrize("given", SOME_MISSING, ids=lambda given: "+".join(given) or "nothing")
def test_without_its_parameters_the_job_says_which_to_set_and_what_else_to_do(settings, given):
    part = RequestSettings(**{name: ASKED[name] for name in given})
    wanting = settings.model_copy(update={"request": part})
    with pytest.raises(UsageError) as refused:
        promote(wanting)
    for name in NEEDED:
        assert (f"STREAMFLOW_REQUEST__{name.upper()}" in refused.value.what) == (name not in given)
    assert "streamflow models promote" in refused.value.hint
    assert asked(settings) == []


def test_a_run_without_parameters_is_recorded_and_not_retried(settings):
    """As `streamflow jobs run promote` starts it. Kubernetes does not retry exit code 2."""
    assert run(settings, "promote", catalog.recipe("promote")) == 2
    with transaction(settings.database) as connection:
        statement = sa.text("SELECT outcome, message FROM streamflow.job_runs WHERE job = 'promote'")
        outcome, message = connection.execute(statement).one()
    assert outcome == "failed"
    assert "STREAMFLOW_REQUEST__VERSION" in message


WRONG = {
    "version 0": {"version": 0},
    "a huge version": {"version": 2**31},
    "a trial": {"to": "canary"},
    "a blank reason": {"why": " "},
    "a reason of two lines": {"why": "a\nb"},
    "a long reason": {"why": "x" * 1001},
    "an API key's name": {"by": "key:ci"},
    "nobody": {"by": "unknown"},
    "a name of two lines": {"by": "a\nb"},
    "a long name": {"by": "x" * 256},
    "a key with a space": {"key": "a b"},
    "a long key": {"key": "x" * 256},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_malformed_request_is_not_made(settings, wrong):
    (name,) = WRONG[wrong]
    with pytest.raises(UsageError, match=f"'{name}'"):
        promote(asking(settings, **WRONG[wrong]))
    assert asked(settings) == []

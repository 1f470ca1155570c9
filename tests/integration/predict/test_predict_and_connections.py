"""PostgreSQL restarts six times, and has no connection left: predict answers in a controlled way and loses no session."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = [pytest.mark.postgres, pytest.mark.stack]

RESTARTS = 6
CALLS = 20
PAUSE_SECONDS = 2.0
TOGETHER = 16


@pytest.mark.fault("F6")
def test_predict_answers_two_seconds_after_each_of_six_restarts(elsewhere, own, start, users, verdict):
    def calls():
        return [predict.predict(user).status_code for user in users[:CALLS]]

    with start(elsewhere, path="/readyz") as predict, contextlib.ExitStack() as stack:
        assert calls() == [200] * CALLS
        watching = stack.enter_context(own.connected())
        before = len(own.sessions(watching))
        codes = []
        for _ in range(RESTARTS):
            own.restart()
            time.sleep(PAUSE_SECONDS)
            codes += calls()
        # All slots of the pool are needed at once: none may be lost.
        with ThreadPoolExecutor(TOGETHER) as pool:
            codes += pool.map(lambda user: predict.predict(user).status_code, users[:CALLS])
        watching = stack.enter_context(own.connected())
        after = len(own.sessions(watching))
    failed = sum(code != 200 for code in codes)
    verdict(
        restarts=RESTARTS, requests=len(codes), failed=failed, sessions_before=before, sessions_after=after
    )
    assert failed == 0
    # Calls one after the other need one connection of the pool, which opens the others when they are needed.
    assert 0 < after <= before - 1 + elsewhere.predict.pool_size


def said(settings, *command):
    """Exit code and output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "streamflow", *command],
        env={**os.environ, "STREAMFLOW_HOME": str(settings.home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.fault("F8")
def test_without_a_free_connection_every_answer_is_controlled(elsewhere, own, start, users, verdict):
    with start(elsewhere, path="/readyz") as predict, own.connected() as watching:
        assert predict.predict(users[0]).status_code == 200
        taken = own.fill_up(watching)
        answers = [predict.predict(user) for user in users[:CALLS]]
        ready = predict.client.get("/readyz").status_code
        outputs = [said(elsewhere, *command) for command in (("drops", "list"), ("jobs", "exec", "score"))]
        while taken:
            taken.pop().close()
        began = time.monotonic()
        predict.until(lambda: predict.predict(users[0]).status_code == 200)
        recovered = time.monotonic() - began
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["code"] == "feature_store_unavailable"
    assert ready == 200
    for code, output in outputs:
        assert code == 4, output
        assert "no connection left" in output
        assert "max_connections" in output
        assert "Traceback" not in output
    codes = [answer.status_code for answer in answers]
    verdict(controlled=codes.count(503), errors_500=codes.count(500), recovered_seconds=round(recovered, 1))
    assert recovered < 5

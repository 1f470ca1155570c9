"""The log of predict while PostgreSQL hangs, and while it is not ready: what an operator needs, once."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

PAUSE_SECONDS = 7.0
"""Longer than predict waits for the ledger and for LISTEN."""


@pytest.mark.fault("F7")
def test_a_pause_of_postgresql_logs_each_request_and_nothing_unasked(
    simulated, start, users, production, stopped, verdict
):
    production(simulated, 1)
    # `prefer` asks for TLS first, as the chart's `require` does.
    with start(simulated, path="/readyz", STREAMFLOW_DATABASE__SSLMODE="prefer") as service:

        def ask(number: int) -> list[int]:
            codes = []
            while time.monotonic() < until:
                asked = {"user_ids": users[:5]}
                answer = service.predict(users[number])
                codes.append(answer.status_code)
                if number % 2:
                    codes.append(service.client.post("/predict/batch", json=asked).status_code)
            return codes

        with stopped(), ThreadPoolExecutor(8) as pool:
            until = time.monotonic() + PAUSE_SECONDS
            codes = Counter(code for each in pool.map(ask, range(8)) for code in each)
        service.until(lambda: service.predict(users[0]).status_code == 200)
    assert set(codes) == {503}
    # Not one line that is not JSON, such as "Future exception was never retrieved" and its traceback.
    lines = [json.loads(line) for line in service.log.read_text(encoding="utf-8").splitlines()]
    said = Counter(line["msg"] for line in lines if line["level"] != "info")
    assert set(said) <= {"the ledger cannot be read; still serving", "prediction log not written"}
    errors = [line for line in lines if line["level"] in ("error", "critical")]
    assert errors == []
    verdict(paused_seconds=PAUSE_SECONDS, controlled=codes[503], logged_errors=len(errors))


def test_probes_are_logged_when_their_answer_changes(settings, start):
    with start(settings) as service:
        for _ in range(5):
            assert service.client.get("/readyz").status_code == 503
            assert service.client.head("/readyz").status_code == 503
            assert service.client.get("/livez").status_code == 200
        assert service.client.post("/predict", json={"user_id": "x"}).status_code == 503
        assert service.client.post("/predict", json={"user_id": "x"}).status_code == 503
    lines = [json.loads(line) for line in service.log.read_text(encoding="utf-8").splitlines()]
    asked = [(line["handler"], line["status"]) for line in lines if line["msg"] == "request"]
    assert asked == [("/readyz", 503), ("/predict", 503), ("/predict", 503)]

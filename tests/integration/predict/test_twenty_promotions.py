"""Twenty promotions under open-loop load: none fails a request, and predict does not grow."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import psutil
import pytest

import load_history

pytestmark = [pytest.mark.postgres, pytest.mark.stack, pytest.mark.load, pytest.mark.timeout(900)]

CLIENT = Path(load_history.__file__).with_name("open_loop.py")
PROMOTIONS = 20
REQUESTS_PER_SECOND = 50
WARM_SECONDS = 5
BATCH = 50


class Batches(threading.Thread):
    """Asks for the same batch until it is stopped, and keeps the status, the version and the probabilities."""

    def __init__(self, predict, users):
        super().__init__(daemon=True)
        self.predict, self.users = predict, users
        self.ended = threading.Event()
        self.seen: list[tuple[int, int, tuple[float, ...]]] = []

    def run(self):
        with httpx2.Client(base_url=self.predict.client.base_url, timeout=30) as client:
            while not self.ended.wait(0.1):
                answer = client.post("/predict/batch", json={"user_ids": self.users})
                document = answer.json()
                probabilities = tuple(each["probability"] for each in document["predictions"])
                self.seen.append((answer.status_code, document["model"]["version"], probabilities))


def served(predict, simulated, production, version):
    """Promote a version; return the seconds until predict serves it."""
    production(simulated, version)
    began = time.monotonic()
    predict.until(lambda: predict.version() == version)
    return time.monotonic() - began


@pytest.mark.fault("F12")
def test_twenty_promotions_under_load_fail_no_request(simulated, start, production, users, tmp_path, verdict):
    production(simulated, 1)
    with start(simulated, path="/readyz") as predict:
        process, began = psutil.Process(predict.process.pid), time.monotonic()
        # Each version was served once: what a swap loads for the first time stays loaded.
        for version in (2, 1):
            served(predict, simulated, production, version)
        seconds = (time.monotonic() - began) / 2 * PROMOTIONS * 2 + 30
        arguments = ["127.0.0.1", str(predict.process.port), f"{REQUESTS_PER_SECOND}x{seconds}"]
        with (tmp_path / "history").open("wb") as history:
            client = subprocess.Popen([sys.executable, str(CLIENT), *arguments, *users[:100]], stdout=history)
        batches = Batches(predict, users[:BATCH])
        batches.start()
        try:
            time.sleep(WARM_SECONDS)
            before = process.memory_info().rss
            took = [served(predict, simulated, production, 2 - number % 2) for number in range(PROMOTIONS)]
            after = process.memory_info().rss
            assert client.poll() is None, "the client ended before the last promotion"
            client.wait(seconds + 60)
        finally:
            batches.ended.set()
            batches.join(60)
            client.kill()
            client.wait()
    asked = load_history.parse((tmp_path / "history").read_text())
    growth = 100 * (after / before - 1)
    verdict(
        **load_history.summary(asked),
        promotions=PROMOTIONS,
        batches=len(batches.seen),
        slowest_switch_seconds=round(max(took), 1),
        memory_growth_percent=round(growth, 1),
    )
    assert load_history.failed(asked) == []
    assert {each.what for each in asked} == {"version=1", "version=2"}
    assert {code for code, _, _ in batches.seen} == {200}
    # A batch by both versions would have other probabilities than all others that name one of them.
    by_version = {(version, probabilities) for _, version, probabilities in batches.seen}
    assert sorted(version for version, _ in by_version) == [1, 2]
    assert len({probabilities for _, probabilities in by_version}) == 2
    assert max(took) < 30
    assert growth < 5

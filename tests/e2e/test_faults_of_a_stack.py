"""After a service is killed, `status` reports it, and `up` restarts it without loss of data."""

from __future__ import annotations

import json
import os
import signal

import pytest
from program import http, until


def _kill(program, service: str) -> None:
    pid = program.services()[service]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(f"{service} is dead", lambda: program.services()[service]["pid"] is None)


@pytest.mark.fault("F3")
@pytest.mark.parametrize("service", ["predict", "postgres", "mlflow"])
def test_a_killed_service_is_reported_and_up_restarts_it(world, service):
    user = (world.drops[1].folder / "users.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    before = http(f"{world.predict}/predict", {"user_id": user})[1]
    addresses = {name: item["url"] for name, item in world.program.services().items()}

    _kill(world.program, service)
    seen = world.program.run("status", "--json")
    assert seen.returncode == 4
    assert {s["name"]: s["state"] for s in json.loads(seen.stdout)["services"]}[service] == "died"
    told = world.program.run("status")
    assert "streamflow up" in told.stderr
    assert world.program.run("doctor").returncode == 1

    healed = world.program.json("up")
    assert {s["name"]: s["state"] for s in healed["services"]} == dict.fromkeys(addresses, "running")
    assert {s["name"]: s["url"] for s in healed["services"]} == addresses

    def answered() -> bool:
        status, document = http(f"{world.predict}/predict", {"user_id": user})
        return status == 200 and document["probability"] == before["probability"]

    until("predict answers as before", answered)
    assert len(world.program.json("drops", "list")) == 2
    assert world.program.json("models", "list")[0]["version"] >= world.trained["version"]


def test_up_on_a_running_stack_changes_nothing(world):
    before = world.program.services()
    world.program.ok("up")
    assert {name: item["pid"] for name, item in world.program.services().items()} == {
        name: item["pid"] for name, item in before.items()
    }

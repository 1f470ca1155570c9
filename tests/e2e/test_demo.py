"""`streamflow demo` while another stack runs: what it prints, and that it leaves no process behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from program import Program, http, port_of, until

# A single candidate, to save time.
QUICK = {"STREAMFLOW_TRAINING__ESTIMATORS": '["logistic_regression"]'}
ANSWERS_AT_ONCE = "Everything runs until you press Ctrl-C."


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Program:
    return Program(tmp_path_factory.mktemp("demo") / "home")


@pytest.fixture(scope="module")
def first(program, small):
    """Exit code and output of a demo with `--once` in a new home."""
    log = program.home.parent / "first.log"
    process = program.start("demo", "--data", small, "--once", log=log, **QUICK)
    return process.wait(timeout=600), log.read_text()


@contextlib.contextmanager
def interrupted(program: Program, log: Path, *arguments: object):
    """Run a demo in a separate process group, as a terminal does; always interrupt it at the end."""
    process = program.start("demo", *arguments, log=log, **QUICK)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=300)


def assert_nothing_runs(program: Program) -> None:
    assert program.processes() == []
    for service in program.services().values():
        assert service["state"] == "stopped"
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port_of(service["url"])))


def test_a_demo_run_once_shows_three_answers_and_exits_with_0(program, first):
    code, said = first
    assert code == 0, said
    assert "A known customer" in said
    assert "An unknown customer" in said
    assert "A known customer with a missing value" in said
    assert said.count('"missing_features"') == 2
    assert '"probability"' in said
    assert "auc" in said
    for address in ("/docs", "MLflow", "Feast"):
        assert address in said
    assert "Traceback" not in said
    assert_nothing_runs(program)


def test_a_second_demo_trains_nothing_serves_beside_another_stack_and_ends_with_ctrl_c(
    program, first, small, stack, prefect_environment
):
    log = program.home.parent / "second.log"
    with interrupted(program, log, "--data", small, "--prefect") as process:
        until("the demo waits", lambda: ANSWERS_AT_ONCE in log.read_text() or process.poll() is not None)
        said = log.read_text()
        assert "nothing to materialize or to train" in said
        assert said.count("already known, nothing changed") == 2
        own, other = program.services(), stack.program.services()
        assert f"Prefect, which conducts the jobs from now on: {own['prefect']['url']}" in said
        assert http(f"{own['prefect']['url']}/api/flows/filter", {})[0] == 401
        for services in (own, other):
            assert {service["state"] for service in services.values()} == {"running"}
        assert not {item["url"] for item in own.values()} & {item["url"] for item in other.values()}
        assert not {item["pid"] for item in own.values()} & {item["pid"] for item in other.values()}
        assert own["predict"]["model_version"] == 1
        user = sorted(p.name for p in small.iterdir())[-1]
        key = (small / user / "users.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
        assert http(f"{own['predict']['url']}/predict", {"user_id": key})[0] in (200, 422)
        assert http(f"{other['predict']['url']}/livez")[0] == 200
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=300) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert_nothing_runs(program)
    assert {item["pid"] for item in stack.program.services().values()} == {
        item["pid"] for item in other.values()
    }


def test_ctrl_c_while_a_demo_starts_leaves_nothing_running(program, first, small):
    log = program.home.parent / "third.log"
    with interrupted(program, log, "--data", small) as process:
        until("a service was started", (program.home / "run" / "mlflow.json").is_file)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=300) == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    assert_nothing_runs(program)


def test_a_demo_leaves_a_stack_running_that_ran_before_and_down_stops_it(program, first, small):
    program.ok("up")
    before = {name: item["pid"] for name, item in program.services().items()}
    log = program.home.parent / "fourth.log"
    process = program.start("demo", "--data", small, "--once", log=log, **QUICK)
    assert process.wait(timeout=600) == 0, log.read_text()
    assert "it is left running" in log.read_text()
    assert {name: item["pid"] for name, item in program.services().items()} == before
    stopped = json.loads(program.ok("down", "--json"))["stopped"]
    assert set(stopped) == set(before)
    assert_nothing_runs(program)
    assert json.loads(program.ok("down", "--json")) == {"stopped": []}

"""Jobs as processes: their ends, and conductors that come back."""

import json
import os
import signal
import threading
import time

import pytest

from streamflow.errors import UsageError
from streamflow.flows import alive
from streamflow.flows.machine import Machine
from streamflow.flows.order import Declared
from streamflow.settings import PrefectSettings

JOB = Declared("train", "Train.")
SAYS_DONE = json.dumps({"msg": "ended", "outcome": "done", "facts": {"version": 3}})


@pytest.fixture
def machine(tmp_path):
    """A machine whose interpreter is a script; it appends to the file `starts`."""

    def make(*lines):
        script = tmp_path / "python"
        script.write_text("\n".join(["#!/bin/sh", f"echo $$ >> {tmp_path}/starts", *lines]), encoding="ascii")
        script.chmod(0o755)
        prefect = PrefectSettings(job_python=script, poll_seconds=0.05)
        return Machine(tmp_path / "home", prefect)

    return make


def starts(tmp_path):
    path = tmp_path / "starts"
    return path.read_text().split() if path.exists() else []


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_gets_its_parameters_and_what_it_says_is_told(machine, tmp_path):
    told = []
    one = machine('echo "$* $STREAMFLOW_INGEST__UNTIL $STREAMFLOW_HOME"', f"echo '{SAYS_DONE}'")
    said = one.run(JOB, "run-1", {"STREAMFLOW_INGEST__UNTIL": "2024-01-31"}, told.append)
    assert (said.outcome, said.facts) == ("done", {"version": 3})
    assert told[0] == f"-m streamflow jobs exec train 2024-01-31 {tmp_path}/home"


def test_a_run_that_is_done_is_not_started_again(machine, tmp_path):
    one = machine(f"echo '{SAYS_DONE}'")
    assert [one.run(JOB, "run-1", {}, print).outcome for _ in range(2)] == ["done", "done"]
    assert len(starts(tmp_path)) == 1
    assert one.run(JOB, "run-2", {}, print).outcome == "done"
    assert len(starts(tmp_path)) == 2


def test_a_conductor_that_comes_back_waits_for_the_process_that_it_left(machine, tmp_path):
    one = machine(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", f"echo '{SAYS_DONE}'")
    lost = threading.Thread(target=one.run, args=(JOB, "run-1", {}, print), daemon=True)
    lost.start()
    until(lambda: starts(tmp_path))
    back = Machine(tmp_path / "home", PrefectSettings(job_python=tmp_path / "python", poll_seconds=0.05))
    said = []
    found = threading.Thread(target=lambda: said.append(back.run(JOB, "run-1", {}, print)))
    found.start()
    (tmp_path / "go").touch()
    found.join(20)
    lost.join(20)
    assert [one.outcome for one in said] == ["done"]
    assert len(starts(tmp_path)) == 1


def test_a_job_that_is_killed_is_started_again_by_the_next_attempt(machine, tmp_path):
    one = machine(f"[ -e {tmp_path}/go ] || exec sleep 60", f"echo '{SAYS_DONE}'")
    said = []
    waiting = threading.Thread(target=lambda: said.append(one.run(JOB, "run-1", {}, print)))
    waiting.start()
    until(lambda: starts(tmp_path))
    os.kill(int(starts(tmp_path)[0]), signal.SIGKILL)
    waiting.join(20)
    assert [item.outcome for item in said] == ["killed"]
    (tmp_path / "go").touch()
    assert one.run(JOB, "run-1", {}, print).outcome == "done"


def test_a_job_ends_at_its_deadline(machine):
    late = Declared("train", "Train.", deadline_seconds=1)
    said = machine("exec sleep 60").run(late, "run-1", {}, print)
    assert (said.outcome, said.why) == ("killed", "The job took longer than its deadline of 1 s.")


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    absent = Machine(tmp_path, PrefectSettings(job_python=tmp_path / "absent"))
    with pytest.raises(UsageError, match="absent, cannot be started"):
        absent.run(JOB, "run-1", {}, print)


def test_a_flow_run_has_a_process_while_it_is_marked(tmp_path):
    assert not alive.has_process(tmp_path, "run-1")
    with alive.marked(tmp_path, "run-1"):
        assert alive.has_process(tmp_path, "run-1")
    assert not alive.has_process(tmp_path, "run-1")


def test_a_mark_that_a_killed_process_left_means_nothing(tmp_path):
    child = os.fork()
    if child == 0:
        with alive.marked(tmp_path, "run-1"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / "prefect" / "runs" / "run-1").exists()
    assert not alive.has_process(tmp_path, "run-1")

"""Clients use up the file descriptors of a process: it serves on, waits without work, and recovers when they go."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
import time

import httpx2
import psutil
import pytest

from streamflow.local import home, processes

pytestmark = [pytest.mark.postgres, pytest.mark.stack]

LEFT = 10
CLIENTS = 150
SECONDS = 3.0
MOST_CPU = 0.2
"""Share of a core; a server that accepts again and again takes nearly all of one."""


@contextlib.contextmanager
def used_up(pid, port):
    """Leave a process few file descriptors, and open more connections to it than that."""
    former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = psutil.Process(pid).num_fds() + LEFT
    with contextlib.ExitStack() as stack:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, former[1]))
        stack.callback(resource.prlimit, pid, resource.RLIMIT_NOFILE, former)
        deadline = time.monotonic() + 30
        while psutil.Process(pid).num_fds() < few and time.monotonic() < deadline:
            _open(stack, port)
        # Those that nobody takes from the kernel's queue, until that is full.
        for _ in range(CLIENTS):
            if not _open(stack, port):
                break
        yield


def _open(stack, port):
    with contextlib.suppress(OSError):
        return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.5))


def work_during(pid, log, seconds):
    """Share of a core that a process takes, and lines that it logs."""
    process, lines, began = psutil.Process(pid), len(log.read_text().splitlines()), time.monotonic()
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    cpu = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)
    return cpu, len(log.read_text().splitlines()) - lines


@pytest.mark.fault("F37")
def test_predict_answers_kept_connections_and_fresh_ones_again_once_the_clients_go(
    elsewhere, own, start, users, verdict
):
    with start(elsewhere, path="/readyz") as predict, own.connected() as watching:
        assert predict.predict(users[0]).status_code == 200
        with used_up(predict.process.pid, predict.process.port):
            kept = [predict.predict(user).status_code for user in users[:20]]
            # A new connection to PostgreSQL needs a descriptor too.
            for pid in own.sessions(watching):
                watching.execute("SELECT pg_terminate_backend(%s, 1000)", (pid,))
            without = [predict.predict(user) for user in users[20:25]]
            cpu, lines = work_during(predict.process.pid, predict.log, SECONDS)
        fresh = predict.until(lambda: httpx2.get(f"{predict.client.base_url}/livez").status_code == 200)
        predict.until(lambda: predict.predict(users[0]).status_code == 200)
    verdict(predict_kept_answered=kept.count(200), predict_cpu_share=round(cpu, 3), predict_log_lines=lines)
    assert kept == [200] * 20
    assert {answer.status_code for answer in without} <= {200, 503}
    assert all("retry-after" in answer.headers for answer in without if answer.status_code == 503)
    assert fresh
    assert cpu < MOST_CPU
    assert lines <= 5 * SECONDS


@pytest.mark.fault("F37")
@pytest.mark.parametrize(
    "name", ["exporter", pytest.param("registrar", marks=pytest.mark.load)], ids=["exporter", "registrar"]
)
def test_servers_of_metrics_wait_without_work_and_answer_again(elsewhere, tmp_path, name, verdict):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")}
    log = tmp_path / "server.log"
    with home.choosing_ports():
        port = home.free_port(18600)
        process = processes.launch(
            (sys.executable, "-m", "streamflow", "serve", name, "--port", str(port)),
            log=log,
            port=port,
            environment={
                **environment,
                "STREAMFLOW_HOME": str(elsewhere.home),
                "STREAMFLOW_PROMOTION__API_PORT": str(home.free_port(18700, {port})),
            },
        )
    try:
        answers(port)
        with used_up(process.pid, port):
            cpu, lines = work_during(process.pid, log, SECONDS)
        answers(port)
        assert processes.alive(process)
    finally:
        processes.stop(process, first=signal.SIGTERM, grace_seconds=10)
    verdict(**{f"{name}_cpu_share": round(cpu, 3), f"{name}_log_lines": lines})
    assert cpu < MOST_CPU
    assert lines <= 5 * SECONDS
    assert "Traceback" not in log.read_text()


def answers(port):
    """Wait until it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"http://127.0.0.1:{port}/healthz", timeout=10).status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail("it does not answer")

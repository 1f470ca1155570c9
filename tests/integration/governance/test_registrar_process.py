"""`streamflow serve registrar` and the exporter as processes: one leader, metrics, and an end on SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def page(port, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if condition():
                return
        time.sleep(0.1)
    pytest.fail("did not come true")


@contextlib.contextmanager
def serving(name):
    """Start a server; its environment is that of the tests."""
    port = free_port()
    # Importing Feast, as tests do, switches prometheus_client to files of several processes.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")}
    environment["STREAMFLOW_PROMOTION__API_PORT"] = str(free_port())
    command = [sys.executable, "-m", "streamflow", "serve", name, "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: page(port, "/healthz") == "ok\n")
        yield process, port
    finally:
        process.kill()
        process.wait()


def ended(process):
    process.send_signal(signal.SIGTERM)
    return process.wait(30)


def test_of_two_registrars_one_leads_and_the_other_takes_over(settings, mlflow_server):
    with serving("registrar") as (first, port):
        until(lambda: "streamflow_registrar_leader 1.0" in page(port, "/metrics"))
        until(lambda: "streamflow_model_registry_up 1.0" in page(port, "/metrics"))
        with serving("registrar") as (second, other):
            assert "streamflow_registrar_leader 0.0" in page(other, "/metrics")
            assert ended(first) == 0
            until(lambda: "streamflow_registrar_leader 1.0" in page(other, "/metrics"))
            assert ended(second) == 0


def test_the_exporter_ends_when_it_is_told_to(settings):
    with serving("exporter") as (process, _):
        assert ended(process) == 0

"""PostgreSQL has no connection left, or is away: registrar, exporter and Feast's server say so, and go on afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from streamflow.local import home, processes

pytestmark = [pytest.mark.postgres, pytest.mark.stack, pytest.mark.load]

NAMES = ("registrar", "exporter", "feast")
PROBE = Path(__file__).parents[3] / "images" / "platform" / "probe_feast.py"
PATIENCE_SECONDS = 90


@pytest.fixture(scope="module")
def servers(elsewhere, tmp_path_factory):
    """Ports and logs of the three servers, which run on the copied database."""
    logs = tmp_path_factory.mktemp("servers")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")}
    with home.choosing_ports(), contextlib.ExitStack() as stack:
        ports: dict[str, int] = {}
        for name in (*NAMES, "api"):
            ports[name] = home.free_port(18500, set(ports.values()))
        environment |= {
            "STREAMFLOW_HOME": str(elsewhere.home),
            "STREAMFLOW_PROMOTION__API_PORT": str(ports["api"]),
        }
        for name in NAMES:
            process = processes.launch(
                (sys.executable, "-m", "streamflow", "serve", name, "--port", str(ports[name])),
                log=logs / f"{name}.log",
                port=ports[name],
                environment=environment,
            )
            stack.callback(processes.stop, process, first=signal.SIGTERM, grace_seconds=10)
        yield ports, {name: logs / f"{name}.log" for name in NAMES}, environment


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if condition():
                return
        time.sleep(0.2)
    pytest.fail("did not come true")


@pytest.mark.fault("F8")
def test_servers_say_that_no_connection_is_left_and_go_on_with_the_next(servers, own, users, verdict):
    ports, logs, environment = servers

    def page(name, path="/metrics"):
        return httpx2.get(f"http://127.0.0.1:{ports[name]}{path}", timeout=30).text

    def online():
        body = {"feature_service": "churn_v1", "entities": {"user_id": users[:2]}}
        return httpx2.post(f"http://127.0.0.1:{ports['feast']}/get-online-features", json=body, timeout=30)

    def work():
        return (
            "streamflow_database_up 1.0" in page("exporter")
            and "streamflow_registrar_leader 1.0" in page("registrar")
            and online().status_code == 200
        )

    until(work)
    with own.connected() as watching:
        taken = own.fill_up(watching)
        until(lambda: "streamflow_registrar_leader 0.0" in page("registrar"))
        until(lambda: "no connection left" in logs["registrar"].read_text())
        assert "streamflow_database_up 0.0" in page("exporter")
        assert page("exporter", "/healthz") == page("registrar", "/healthz") == "ok\n"
        answer = online()
        started = subprocess.run(
            [sys.executable, "-m", "streamflow", "serve", "feast", "--port", str(ports["feast"])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        while taken:
            taken.pop().close()
    assert answer.status_code == 503
    assert "no connection left" in answer.text
    assert (started.returncode, "Traceback" in started.stderr) == (4, False), started.stderr
    assert "no connection left" in started.stderr
    until(work)
    for name in NAMES:
        text = logs[name].read_text()
        assert "Traceback" not in text, name
        assert "no connection left" in text, name
    verdict(servers_that_went_on=len(NAMES))


def test_without_postgresql_feasts_server_is_not_ready_and_yet_alive(servers, own):
    """The probes of its Deployment in the chart: a restart could not help, and would lose the cached registry."""
    url = f"http://127.0.0.1:{servers[0]['feast']}"

    def ready():
        command = [sys.executable, "-I", PROBE, "churn_v1", "user_id", url]
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0

    def alive():
        return httpx2.get(f"{url}/docs", timeout=5).status_code == 200

    until(ready)
    own.stop()
    try:
        assert (ready(), alive()) == (False, True)
    finally:
        own.start()
    until(ready)

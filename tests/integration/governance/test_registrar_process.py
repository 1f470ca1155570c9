"""`streamflow serve registrar` and the exporter as processes: one leader, metrics, its API, and an end on SIGTERM."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamflow.http.api_keys import new_key
from streamflow.postgres import locks
from streamflow.postgres.engine import transaction

ROOT = Path(__file__).resolve().parents[3]


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
def serving(name, **variables):
    """Start a server; its environment is that of the tests, with further variables."""
    port = free_port()
    # Importing Feast, as tests do, switches prometheus_client to files of several processes.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")}
    environment |= {"STREAMFLOW_PROMOTION__API_PORT": str(free_port()), **variables}
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


@pytest.mark.fault("F38")
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


def curl_block():
    """The block of the documentation that asks for a promotion."""
    section = (ROOT / "docs" / "governance.md").read_text(encoding="utf-8")
    section = section.partition("\n### Promote from outside\n")[2].partition("\n## ")[0]
    [block] = [
        block for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL) if "$REGISTRAR" in block
    ]
    return block


def called(port, key, method="GET", path="/promotions", body=None):
    """Status and document of an answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"Authorization": f"Bearer {key}"}, method=method
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.fault("F38")
def test_a_pipeline_asks_with_curl_and_any_replica_takes_the_request(settings, make, tmp_path):
    first, second = make(2)
    (key, line), (other, _) = new_key("ci", ["promote"]), new_key("ci", ["promote"])
    (tmp_path / "keys").write_text(line)
    variables = {"STREAMFLOW_PROMOTION__API_KEYS_FILE": str(tmp_path / "keys")}
    ports = [str(free_port()) for _ in range(2)]
    with (
        serving("registrar", STREAMFLOW_PROMOTION__API_PORT=ports[0], **variables) as (_, leader),
        serving("registrar", STREAMFLOW_PROMOTION__API_PORT=ports[1], **variables) as (standby, _),
    ):
        until(lambda: "streamflow_registrar_leader 1.0" in page(leader, "/metrics"))
        until(lambda: called(ports[1], key)[0] == 405)
        status, asked = called(
            ports[1],
            key,
            "POST",
            body=json.dumps({"version": first, "to": "staging", "why": "a test"}).encode(),
        )
        assert (status, asked["state"], asked["asked_by"]) == (202, "open", "key:ci")
        until(lambda: called(ports[0], key, path=f"/promotions/{asked['id']}")[1]["state"] != "open")
        done = called(ports[1], key, path=f"/promotions/{asked['id']}")[1]
        assert (done["state"], done["promotion_id"], done["reasons"]) == ("done", 1, [])
        # As documented. There is no data for the gate to judge by, so it refuses.
        assert second == 2
        environment = {**os.environ, "REGISTRAR": f"http://127.0.0.1:{ports[1]}", "KEY": key, "NO_PROXY": "*"}
        run = subprocess.run(
            ["bash", "-c", curl_block()],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        answer = json.loads(run.stdout)
        assert (run.returncode, answer["state"], answer["version"]) == (1, "refused", second), run.stderr
        assert answer["reasons"]
        # A key that is revoked stops working while the servers run.
        (tmp_path / "keys").write_text("# nobody\n")
        until(lambda: called(ports[0], key)[0] == 401 and called(ports[1], key)[0] == 401)
        assert called(ports[0], other)[0] == 401
        assert ended(standby) == 0


def test_a_slow_client_is_closed_and_many_connections_leave_the_leader_at_work(
    settings, mlflow_server, tmp_path
):
    key, line = new_key("ci", ["promote"])
    (tmp_path / "keys").write_text(line)
    port = free_port()
    with (
        serving(
            "registrar",
            STREAMFLOW_PROMOTION__API_PORT=str(port),
            STREAMFLOW_PROMOTION__API_KEYS_FILE=str(tmp_path / "keys"),
        ) as (process, metrics),
        contextlib.ExitStack() as opened,
    ):
        until(lambda: "streamflow_registrar_leader 1.0" in page(metrics, "/metrics"))
        until(lambda: called(port, key)[0] == 405)
        slow = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(100)]
        for connection in slow:
            with contextlib.suppress(OSError):
                connection.sendall(b"POST /promotions HTTP/1.1\r\nHost: x\r\n")
        # One that asks properly still gets an answer: the one idle longest makes room.
        assert called(port, key)[0] == 405
        # The last one stays open until its head is overdue.
        slow[-1].settimeout(60)
        assert slow[-1].recv(1) == b""
        before = page(metrics, "/metrics")
        until(lambda: page(metrics, "/metrics") != before)
        assert ended(process) == 0


def test_a_leader_is_woken_by_a_request_and_notices_that_it_lost_its_lock(settings, make, tmp_path):
    first, second = make(2)
    key, line = new_key("ci", ["promote"])
    (tmp_path / "keys").write_text(line)
    port = free_port()
    variables = {
        "STREAMFLOW_PROMOTION__API_PORT": str(port),
        "STREAMFLOW_PROMOTION__API_KEYS_FILE": str(tmp_path / "keys"),
        # Far beyond the end of this test, so that nothing is answered by looking from time to time.
        "STREAMFLOW_PROMOTION__LOOK_SECONDS": "3600",
    }

    def answered(version):
        body = json.dumps({"version": version, "to": "staging", "why": "a test"}).encode()
        asked = called(port, key, "POST", body=body)[1]
        until(lambda: called(port, key, path=f"/promotions/{asked['id']}")[1]["state"] == "done")

    with serving("registrar", **variables) as (process, metrics):
        until(lambda: "streamflow_registrar_look_timestamp_seconds 1" in page(metrics, "/metrics"))
        answered(first)
        holder = locks.key(locks.of_registrar(settings.mlflow.registered_model))
        with transaction(settings.database) as connection:
            ended_ones = connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key"
                ),
                {"key": holder},
            ).all()
        assert len(ended_ones) == 1
        # Without its lock it may not lead; it takes the lock again and goes on.
        answered(second)
        assert "streamflow_registrar_leader 1.0" in page(metrics, "/metrics")
        assert ended(process) == 0

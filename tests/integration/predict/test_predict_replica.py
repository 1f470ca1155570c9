"""A replica alone: its two ports, and what one client can do to its memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest

MOST = 50 * 2**20
"""Most bytes that a client may add to the resident memory."""


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    """A replica without PostgreSQL and MLflow, and its two ports."""
    port, status_port = free_ports(2)
    environment = os.environ | {
        "STREAMFLOW_HOME": str(tmp_path_factory.mktemp("home")),
        "STREAMFLOW_PREDICT__PORT": str(port),
        "STREAMFLOW_PREDICT__STATUS_PORT": str(status_port),
        "STREAMFLOW_PREDICT__DRAIN_SECONDS": "0",
        "STREAMFLOW_DATABASE__PORT": "9",
        "STREAMFLOW_MLFLOW__TRACKING_URI": "http://127.0.0.1:9",
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "streamflow", "serve", "predict"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        # What only the first requests load.
        for _ in range(200):
            assert b" 200 " in once(port, b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        yield psutil.Process(started.pid), port, status_port
    finally:
        started.terminate()
        started.wait(30)


def free_ports(number):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def wait_for(port):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), 1)):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"Nothing listens on {port}.")


def once(port, content):
    """Send bytes and read until the service closes, or resets, the connection."""
    received = b""
    with closing(socket.create_connection(("127.0.0.1", port), 60)) as client:
        try:
            client.sendall(content)
            while part := client.recv(65_536):
                received += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def test_metrics_are_on_the_status_port_alone(replica):
    _, port, status_port = replica
    wait_for(status_port)
    request = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    assert once(port, request).startswith(b"HTTP/1.1 404 ")
    answer = once(status_port, request)
    assert answer.startswith(b"HTTP/1.1 200 ")
    # Requests to the other port are counted here.
    assert b'http_requests_total{handler="/livez"' in answer


def pipelined(size):
    request = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"
    return request * (size // len(request))


def endless_header(size):
    return b"GET /livez HTTP/1.1\r\nhost: a\r\nx: " + b"y" * size


def many_headers(size):
    return b"GET /livez HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * (size // 6)


def trailers(size):
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"0\r\n" + b"x: y\r\n" * (size // 6)


@pytest.mark.parametrize(
    "content",
    [
        pipelined(14_000_000),
        endless_header(300_000_000),
        many_headers(100_000_000),
        trailers(100_000_000),
    ],
    ids=["requests sent ahead", "a header without end", "headers without end", "trailers without end"],
)
def test_one_client_adds_little_to_the_resident_memory(replica, content):
    process, port, _ = replica
    before = process.memory_info().rss
    for _ in range(3):
        once(port, content)
    assert process.memory_info().rss - before < MOST
    assert b" 200 " in once(port, b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")


def test_many_bodies_at_a_time_add_little_to_the_resident_memory(replica):
    process, port, _ = replica
    before = process.memory_info().rss
    # Each is held back before its last byte.
    request = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n" + b" " * 999_999
    clients = []
    try:
        for _ in range(200):
            client = socket.create_connection(("127.0.0.1", port), 60)
            client.settimeout(0.5)
            clients.append(client)
            try:
                client.sendall(request)
            except OSError:
                # Refused, so it is read no further.
                continue
        added = process.memory_info().rss - before
    finally:
        for client in clients:
            client.close()
    assert added < MOST
    assert b" 200 " in once(port, b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")

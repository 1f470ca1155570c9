"""A client that does not read its answers, or does not finish its head, is closed: on both ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest
import uvicorn

from streamflow.http import server as http_server
from streamflow.http.connection import capped
from streamflow.predict import server
from streamflow.predict.models.live_model import LiveModel
from streamflow.settings import PredictSettings

ANSWER = b"x" * 50_000_000


async def application(scope, receive, send):
    """Answer with far more than the buffers of the kernel hold."""
    headers = [(b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, len(ANSWER), 1_000_000):
        part = ANSWER[start : start + 1_000_000]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize("kind", [http_server.QuietServer, http_server.SweepingServer])
@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"GET / HTTP/1.1\r\nhost"])
def test_a_stalled_client_is_closed(kind, content, monkeypatch):
    monkeypatch.setattr(http_server, "_MOST_UNREAD_SECONDS", 1.0)

    async def scenario():
        config = uvicorn.Config(application, http=capped(8), lifespan="off", ws="none", log_config=None)
        serving = kind(config, 1.0)
        serving.capture_signals = contextlib.nullcontext
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(serving.serve([listener]))
        client = socket.create_connection(listener.getsockname())
        await asyncio.get_running_loop().sock_sendall(client, content)
        connections = serving.server_state.connections
        async with asyncio.timeout(30):
            while not connections:
                await asyncio.sleep(0.01)
            while connections:
                await asyncio.sleep(0.1)
            while serving.server_state.tasks:
                await asyncio.sleep(0.1)
        client.close()
        serving.should_exit = True
        await task

    asyncio.run(scenario())


def test_a_second_interrupt_does_not_wait_for_either_port():
    settings = PredictSettings(drain_seconds=0)

    async def scenario():
        config = uvicorn.Config(application, http=capped(8), lifespan="off", ws="none", log_config=None)
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        status = http_server.QuietServer(config, settings.receive_timeout_seconds)
        beside = server.Beside(status, listeners[0])
        serving = server.DrainingServer(config, LiveModel(), settings, beside)
        serving.capture_signals = contextlib.nullcontext
        task = asyncio.create_task(serving.serve([listeners[1]]))
        clients = [socket.create_connection(listener.getsockname()) for listener in listeners]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(5):
            while not (serving.server_state.tasks and status.server_state.tasks):
                await asyncio.sleep(0.01)
            serving.handle_exit(signal.SIGINT, None)
            await asyncio.sleep(0.5)
            assert not task.done()
            serving.handle_exit(signal.SIGINT, None)
            await task
        for client in clients:
            client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("taken", ["PORT", "STATUS_PORT"])
def test_a_port_in_use_is_said(taken, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as free:
        port = listener.getsockname()[1]
        free.bind(("127.0.0.1", 0))
        environment = os.environ | {
            "STREAMFLOW_HOME": str(tmp_path),
            "STREAMFLOW_PREDICT__HOST": "127.0.0.1",
            "STREAMFLOW_PREDICT__PORT": str(free.getsockname()[1]),
            "STREAMFLOW_DATABASE__PORT": "9",
            f"STREAMFLOW_PREDICT__{taken}": str(port),
        }
        command = [sys.executable, "-m", "streamflow", "serve", "predict"]
        free.close()
        done = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 4
    assert f"Port {port} of 127.0.0.1 cannot be used" in done.stderr
    assert f"STREAMFLOW_PREDICT__{taken}." in done.stderr

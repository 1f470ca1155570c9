"""What predict downloads from MLflow is capped."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from streamflow.errors import ReleaseRefused
from streamflow.mlflow_api.serving_client import ServingClient
from streamflow.model_version import files as version_files
from streamflow.release import VersionPointer

POINTER = VersionPointer("churn", 7, "0" * 64)


@contextmanager
def server(sizes):
    """A server that answers as MLflow does, with files of these sizes; its address, and the bytes it sent."""
    sent = dict.fromkeys(sizes, 0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            if name in sizes:
                self.answer(sizes[name], name)
            else:
                content = json.dumps({"artifact_uri": "mlflow-artifacts:/1/r/artifacts/model"}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def answer(self, size, name):
            self.send_response(200)
            self.send_header("content-length", str(size))
            self.end_headers()
            try:
                for _ in range(size // 65_536):
                    self.wfile.write(b"x" * 65_536)
                    sent[name] += 65_536
                self.wfile.write(b"x" * (size % 65_536))
            except OSError:
                self.close_connection = True

        def log_message(self, format, *args):
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", sent
    finally:
        listening.shutdown()
        listening.server_close()


def fetched(url):
    async def scenario():
        client = ServingClient(url, 30.0)
        try:
            return await client.fetch(POINTER)
        finally:
            await client.close()

    return asyncio.run(scenario())


def test_files_within_the_cap_are_fetched_whole():
    sizes = dict(zip(version_files.SERVED, (10, 0, 65_536, 1_000_000), strict=True))
    with server(sizes) as (url, _):
        assert {name: len(content) for name, content in fetched(url).items()} == sizes


def test_files_beyond_the_cap_are_refused_before_they_have_arrived(monkeypatch):
    monkeypatch.setattr(version_files, "MOST_SERVED_BYTES", 2**20)
    sizes = dict.fromkeys(version_files.SERVED, 10) | {version_files.ONNX: 200 * 2**20}
    with server(sizes) as (url, sent):
        with pytest.raises(ReleaseRefused, match="larger than 1 MiB"):
            fetched(url)
        # What the sockets hold was sent, but not the whole file.
        assert sent[version_files.ONNX] < 100 * 2**20


def test_many_files_share_the_cap(monkeypatch):
    monkeypatch.setattr(version_files, "MOST_SERVED_BYTES", 2**20)
    sizes = dict.fromkeys(version_files.SERVED, 400_000)
    with server(sizes) as (url, _), pytest.raises(ReleaseRefused, match="larger than 1 MiB"):
        fetched(url)

"""A file of 1 GiB in MLflow is refused by its claimed size, and otherwise no more of it is read than may be served."""

import contextlib
import gzip
import http.server
import threading

import pytest

from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.mlflow_api.transport import RegistryClient

MOST = 4 * 2**20
PART = b"\0" * 2**16
GIB = 2**30


@contextlib.contextmanager
def served(headers, parts):
    """A client of a server that answers each request with headers and parts; yields the parts that it sent, too."""
    sent = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    self.wfile.write(part)
                    sent.append(len(part))
            self.close_connection = True

        def log_message(self, *_):
            """No log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = RegistryClient(f"http://127.0.0.1:{server.server_port}", 10)
        try:
            yield client, sent
        finally:
            client.close()
            server.shutdown()


def read(client):
    return client.file("mlflow-artifacts:/1/run/artifacts/model", "model.onnx", MOST)


def test_a_file_of_the_largest_size_is_read():
    with served({"Content-Length": str(MOST)}, [PART] * (MOST // len(PART))) as (client, _):
        assert read(client) == b"\0" * MOST


def test_a_file_that_claims_a_gibibyte_is_refused_before_it_is_read():
    # Nothing but the claim is ever sent, so a client that waited for more would time out.
    with served({"Content-Length": str(GIB)}, []) as (client, _):
        with pytest.raises(StreamFlowError, match="it is larger than 4 MiB") as found:
            read(client)
        assert not isinstance(found.value, DependencyDown)


def test_a_file_that_claims_no_size_is_read_only_as_far_as_it_may_be_served():
    with served({}, (PART for _ in range(GIB // len(PART)))) as (client, sent):
        with pytest.raises(StreamFlowError, match="it is larger than 4 MiB"):
            read(client)
        client.close()
    # What the system buffers on both sides is sent, too.
    assert sum(sent) < GIB / 4


def test_a_file_that_grows_when_it_is_unpacked_is_read_only_as_far_as_it_may_be_served():
    packed = gzip.compress(b"\0" * (GIB // 4))
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(packed))}
    assert len(packed) < MOST
    with served(headers, [packed]) as (client, _), pytest.raises(StreamFlowError, match="larger than 4 MiB"):
        read(client)

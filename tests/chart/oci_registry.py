"""An OCI registry in memory, on loopback: as much of its API as pushing and pulling a chart takes."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

_BLOB = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>sha256:[0-9a-f]{64})")
_UPLOAD = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/.*")
_MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>.+)")


class Registry:
    """What a registry holds.

    Attributes:
        address: Host and port.
        blobs: Contents by digest.
        manifests: Media type and content by name and tag, and by name and digest.
    """

    def __init__(self) -> None:
        self.address = ""
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def handler_of(registry: Registry) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/v2/":
                return self.answer(200)
            if (found := _BLOB.fullmatch(path)) and (blob := registry.blobs.get(found["digest"])) is not None:
                return self.answer(200, blob, Docker_Content_Digest=found["digest"])
            if (found := _MANIFEST.fullmatch(path)) and (
                held := registry.manifests.get((found["name"], found["reference"]))
            ):
                return self.answer(
                    200, held[1], Content_Type=held[0], Docker_Content_Digest=digest_of(held[1])
                )
            return self.answer(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(202, Location=f"{urlsplit(self.path).path}1")

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            digest = digest_of(body)
            if _UPLOAD.fullmatch(parts.path):
                if parse_qs(parts.query).get("digest") != [digest]:
                    return self.answer(400)
                registry.blobs[digest] = body
            elif found := _MANIFEST.fullmatch(parts.path):
                for reference in (found["reference"], digest):
                    registry.manifests[found["name"], reference] = self.headers["Content-Type"], body
            else:
                return self.answer(404)
            return self.answer(201, Docker_Content_Digest=digest, Location=parts.path)

        def log_message(self, *_: object) -> None:
            """Do not log."""

    return Handler


@contextlib.contextmanager
def serving() -> Iterator[Registry]:
    """Serve an empty registry on a free port of loopback."""
    registry = Registry()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(registry)) as server:
        registry.address = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield registry
        finally:
            server.shutdown()

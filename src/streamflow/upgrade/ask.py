"""Ask for predictions: a predict service that is started on the copy, and the one in production."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamflow.client import ClientError, PredictClient
from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.monitoring import parity
from streamflow.monitoring.parity import Answer
from streamflow.settings import DatabaseSettings

READY_SECONDS = 120.0
"""Longest wait until the service on the copy serves."""

_COMMAND = (sys.executable, "-m", "streamflow", "serve", "predict")
_LOOPBACK = "127.0.0.1"
_OWN = ("HOST", "PORT", "STATUS_PORT", "API_KEYS_FILE", "DRAIN_SECONDS")
_PAUSE_SECONDS = 0.2
_GRACE_SECONDS = 15.0


@dataclass(frozen=True)
class Present:
    """The predict service in production.

    Attributes:
        url: Base address.
        api_key: API key; empty without one.
    """

    url: str
    api_key: str


def of_copy(copy: DatabaseSettings, join_key: str, entities: Sequence[str]) -> dict[str, Answer]:
    """Ask a predict service of this version, started on the copy alone, for each entity.

    Raises:
        StreamFlowError: It does not start, or fails a request.
    """
    with _serving(copy) as url:
        return parity.answers(url, "", join_key, entities)


def of_present(
    present: Present, join_key: str, entities: Sequence[str], tell: Callable[[str], None]
) -> dict[str, Answer] | None:
    """Ask the service in production for each entity; None if it does not answer, which is told."""
    try:
        return parity.answers(present.url, present.api_key, join_key, entities)
    except DependencyDown as error:
        tell(f"The answers are not compared with production: {error.what}")
        return None


@contextlib.contextmanager
def _serving(copy: DatabaseSettings) -> Iterator[str]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="streamflow-upgrade-") as folder:
        log = Path(folder) / "predict.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                _COMMAND,
                env=environment(copy, port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        url = f"http://{_LOOPBACK}:{port}"
        try:
            _wait(child, url, log)
            yield url
        finally:
            _end(child)


def environment(copy: DatabaseSettings, port: int) -> dict[str, str]:
    """Environment of the service on the copy: this process's settings, but for the database, address and API keys."""
    dropped = {f"STREAMFLOW_PREDICT__{name}" for name in _OWN} | {"STREAMFLOW_DATABASE__PASSWORD_FILE"}
    return {
        **{name: value for name, value in os.environ.items() if name not in dropped},
        **copy.variables,
        "STREAMFLOW_PREDICT__HOST": _LOOPBACK,
        "STREAMFLOW_PREDICT__PORT": str(port),
        "STREAMFLOW_PREDICT__DRAIN_SECONDS": "0",
    }


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


def _wait(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with PredictClient(url, retries=0) as client:
        while child.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(ClientError):
                if client.ready():
                    return
            time.sleep(_PAUSE_SECONDS)
    how = f"did not serve within {READY_SECONDS:.0f} s" if child.poll() is None else "ended by itself"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    raise StreamFlowError(f"The predict service on the copy {how}.", details=tuple(lines[-5:]))


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()

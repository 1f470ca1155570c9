"""Run the `streamflow` command in a home as a user's shell does, and send requests to its services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
STREAMFLOW = Path(sys.executable).with_name("streamflow")
PATIENCE_SECONDS = 300.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Program:
    """The `streamflow` command with a given home."""

    home: Path
    cwd: Path = ROOT

    def environment(self, **variables: str) -> dict[str, str]:
        """Environment of a user's shell, without the variables that importing Feast sets in this process."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PROMETHEUS_MULTIPROC")}
        return {**kept, "STREAMFLOW_HOME": str(self.home), "COLUMNS": "200", **variables}

    def run(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command and wait for it; any exit code is accepted."""
        return subprocess.run(
            [STREAMFLOW, *map(str, arguments)],
            cwd=self.cwd,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def ok(self, *arguments: object, **variables: str) -> str:
        """Run a command that must succeed; return its output."""
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: object, **variables: str) -> Any:
        """Run a command with `--json`; return the document that it prints."""
        return json.loads(self.ok(*arguments, "--json", **variables))

    def start(self, *arguments: object, log: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command in a separate process group, as a shell does, so that it can be sent Ctrl-C."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [STREAMFLOW, *map(str, arguments)],
                cwd=self.cwd,
                env=self.environment(**{"PYTHONUNBUFFERED": "1", **variables}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def services(self) -> dict[str, dict[str, Any]]:
        """Output of `status` by service; any exit code is accepted."""
        document = json.loads(self.run("status", "--json").stdout)
        return {service["name"]: service for service in document["services"]}

    def processes(self) -> list[str]:
        """Command lines of all processes that belong to the stack of this home."""
        found = []
        for process in psutil.process_iter():
            try:
                held = [*process.cmdline(), *process.environ().values()]
                # The mark excludes commands that are running with this home, which are not part of the stack.
                if "STREAMFLOW_LOCAL_PROCESS" in process.environ() and any(
                    str(self.home) + "/" in text for text in held
                ):
                    found.append(" ".join(process.cmdline()))
            except (psutil.Error, OSError):
                continue
        return found


def until(what: str, condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll until a condition is true; return its value, or fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail(f"not within {seconds:.0f} s: {what}")


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def http(url: str, document: object = None, *, method: str | None = None, **headers: str) -> tuple[int, Any]:
    """Send GET, or POST (or another method) with a JSON document; return status (0 if it fails) and body."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/json", **headers}, method=method
    )
    try:
        with _direct.open(request, timeout=60) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except OSError:
        return 0, None
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()

"""Command blocks of the pages, and a shell that runs them, with free local ports in place of the pages' own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STREAMFLOW = Path(sys.executable).with_name("streamflow")
_FORWARD = re.compile(r"(port-forward \S+ )(\d+)(:\d+)")


def page_block(heading, number=0, page="docs/kubernetes.md"):
    """Text of a bash block below a heading of a page, counted from 0.

    tests/docs/test_kubernetes_page.py looks for calls with literal arguments, to find the blocks that no test runs.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"^###? (.+)$", text, flags=re.MULTILINE)
    below = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    return re.findall(r"^```bash\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)[number]


def commands(text):
    """The commands of a block, each on one line."""
    return re.sub(r"\\\n\s*", "", text).splitlines()


def filled(text, given):
    """A block in which other texts take the place of the page's; each must be there."""
    for old, new in given.items():
        assert old in text, f"{old!r} is not in\n{text}"
        text = text.replace(old, str(new))
    return text


def free_port():
    """A port of this machine on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def with_free_ports(text):
    """The text with free local ports for its port-forwards, and these by the page's own."""
    ports = {int(found[2]): free_port() for found in _FORWARD.finditer(text)}
    text = _FORWARD.sub(lambda found: f"{found[1]}{ports[int(found[2])]}{found[3]}", text)
    for given, free in ports.items():
        text = re.sub(rf"(localhost:|__PORT=){given}\b", rf"\g<1>{free}", text)
    return text, ports


def shell(text, given=None, timeout=300, **variables):
    """Run commands of a page in a shell in the project's folder; return what they say.

    Args:
        text: Commands, usually a block of a page.
        given: Texts that take the place of the page's, such as the name of a person.
        timeout: Longest time in seconds.
        variables: Environment variables.

    Raises:
        AssertionError: If a command fails.
    """
    script, ports = with_free_ports(filled(text, given or {}))
    environment = {**os.environ, "PATH": f"{STREAMFLOW.parent}:{os.environ['PATH']}"}
    if 5000 in ports:
        environment["STREAMFLOW_MLFLOW__TRACKING_URI"] = f"http://localhost:{ports[5000]}"
    if 5432 in ports:
        environment["STREAMFLOW_DATABASE__PORT"] = str(ports[5432])
    # A file and not a pipe, which what runs in the background would keep open.
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env={**environment, **variables},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        out.seek(0)
        said = out.read()
    assert code == 0, f"{script}\nended with {code}:\n{said}"
    return said

"""A child process that sees no secret of its parent: it may start before it is known what it is asked."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

RELEASE_CHECK = ("-m", "streamflow.release_check")
"""Arguments of the child that checks a model version."""


class Child:
    """A Python process in an empty folder of its own, which reads one line and answers with its output.

    Args:
        arguments: Arguments of Python.
        keep: File descriptors that the child inherits.

    Attributes:
        folder: The folder it runs in.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, arguments: Sequence[str], keep: Sequence[int] = ()) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="streamflow-check-")
        self.folder = Path(self._temporary.name)
        # No secret of this process, and no library that a variable could name.
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=keep,
        )

    def ask(self, line: str, seconds: float) -> tuple[int, bytes]:
        """Send the line, and wait for the end of the child.

        Args:
            line: What it is asked.
            seconds: Longest time until it has ended.

        Returns:
            Its exit code, negative for a signal, and its output.

        Raises:
            subprocess.TimeoutExpired: The time was up; the child was killed.
        """
        try:
            said, _ = self._process.communicate(line.encode() + b"\n", timeout=seconds)
        finally:
            self.end()
        return self._process.returncode, said

    def end(self) -> None:
        """Kill the child and whatever it started, and remove its folder."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._temporary.cleanup()


def limit(memory: int, cpu_seconds: int, file_bytes: int) -> None:
    """Limit this process, which is such a child.

    Args:
        memory: Most bytes that it may map, beside what it has mapped.
        cpu_seconds: Most seconds of processor time.
        file_bytes: Largest file that it may write.
    """
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    for kind, value in (
        (resource.RLIMIT_AS, mapped + memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value + 1 if kind == resource.RLIMIT_CPU else value))

"""Start, recognise and stop detached processes, safe against recycled process ids."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_MARK = "STREAMFLOW_LOCAL_PROCESS"
_PAUSE_SECONDS = 0.1

# A process that is not waited for by its parent stays a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Running:
    """A process that we started.

    Attributes:
        pid: Its process id; it leads a session of its own.
        started: When it started, in the kernel's count, which tells it from other processes with the same id.
        port: TCP port it serves.
    """

    pid: int
    started: str
    port: int


@dataclass(frozen=True)
class Identity:
    """The user that a process runs as.

    Attributes:
        prefix: Words before its command that switch the user.
        uid: User id to switch to; None keeps the present one.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None


MYSELF = Identity()


def launch(
    command: Sequence[str],
    *,
    log: Path,
    port: int,
    environment: Mapping[str, str],
    identity: Identity = MYSELF,
) -> Running:
    """Start a command detached from the terminal, its output appended to `log`.

    Raises:
        OSError: The command cannot be run.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*identity.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, _MARK: str(log)},
            start_new_session=True,
            user=identity.uid,
            group=identity.uid,
            extra_groups=None if identity.uid is None else [],
        )
    _children[child.pid] = child
    return Running(child.pid, start_mark(child.pid) or "", port)


def start_mark(pid: int) -> str | None:
    """Start time that distinguishes a process from a later one with the same id; None without a process.

    In ticks since boot, because setting the clock would change a clock time.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
        except psutil.NoSuchProcess:
            return None
    try:
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else ticks


def alive(process: Running) -> bool:
    """Whether the process still runs, and not another one with its id."""
    child = _children.get(process.pid)
    if child is not None:
        child.poll()
    return bool(process.started) and start_mark(process.pid) == process.started


def stop(process: Running, *, first: signal.Signals, grace_seconds: float) -> None:
    """Ask the process to end, wait, then kill what is left of its session; return when nothing is.

    Args:
        first: The signal that asks.
        grace_seconds: How long to wait before killing.
    """
    if alive(process):
        _send(process.pid, first)
    deadline = time.monotonic() + grace_seconds
    while (left := _session(process)) and time.monotonic() < deadline:
        if process.pid not in left and not alive(process):
            # The leader ended and left children behind.
            for pid in left:
                _send(pid, signal.SIGTERM)
        time.sleep(_PAUSE_SECONDS)
    while left := _session(process):
        for pid in left:
            _send(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
    child = _children.pop(process.pid, None)
    if child is not None:
        child.wait()


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def _session(process: Running) -> list[int]:
    """Living processes of the session that `process` leads or led."""
    leader_lives = alive(process)
    found = []
    for candidate in psutil.process_iter():
        pid = candidate.pid
        try:
            if os.getsid(pid) != process.pid or start_mark(pid) is None:
                continue
        except (ProcessLookupError, PermissionError):
            continue
        # Without its leader, the session id may have been recycled; children of ours have the mark.
        if leader_lives or _carries_mark(candidate):
            found.append(pid)
    return found


def _carries_mark(process: psutil.Process) -> bool:
    try:
        return _MARK in process.environ()
    except (psutil.Error, OSError):
        return False


def write(path: Path, process: Running) -> None:
    """Write a process' identity to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(process)) + "\n", encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> Running | None:
    """Read a process' identity; None without a readable file."""
    try:
        return Running(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def last_lines(log: Path, count: int = 15) -> tuple[str, ...]:
    """The last lines of a log; empty without a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(line for line in text.splitlines() if line.strip())[-count:]

"""Start, identify and stop detached processes; safe against reused process ids."""

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

# Children of this process must be waited for, or they remain zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Running:
    """A process that was started by `launch`, possibly from another process.

    Attributes:
        pid: Process id; the process leads a session of its own.
        started: Result of `start_mark`, which distinguishes the process from a later one with the same id.
        port: TCP port that the process serves.
    """

    pid: int
    started: str
    port: int


@dataclass(frozen=True)
class Identity:
    """The user that a process runs as.

    Attributes:
        prefix: Command that switches the user, put in front of the process's own command.
        uid: User id to switch to; None keeps the current user.
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
    """Start a command in a session of its own, detached from the terminal.

    Args:
        command: Program and arguments.
        log: File to which stdout and stderr are appended.
        port: TCP port that the command will serve; only recorded.
        environment: The complete environment of the process.
        identity: User to run as.

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
    """Start time of a process, to distinguish it from a later one with the same id.

    On Linux in ticks since boot, because a wall-clock time would shift whenever the clock is set.

    Returns:
        None if there is no such process, or only a zombie.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        # Not Linux.
        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
        except psutil.NoSuchProcess:
            return None
    try:
        # The command name, in parentheses, may itself contain spaces and parentheses.
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else ticks


def alive(process: Running) -> bool:
    """Whether this very process is still running, rather than a later one with the same id."""
    child = _children.get(process.pid)
    if child is not None:
        child.poll()
    return bool(process.started) and start_mark(process.pid) == process.started


def stop(process: Running, *, first: signal.Signals, grace_seconds: float) -> None:
    """Stop a process and everything else in its session; return when all have ended.

    Args:
        process: The process to stop.
        first: Signal that asks the process to end.
        grace_seconds: How long to wait before sending SIGKILL.
    """
    if alive(process):
        _send(process.pid, first)
    deadline = time.monotonic() + grace_seconds
    while (left := _session(process)) and time.monotonic() < deadline:
        if process.pid not in left and not alive(process):
            # The session leader has ended without its children.
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
    """Ids of the live processes in the session that `process` leads or led."""
    leader_lives = alive(process)
    found = []
    for candidate in psutil.process_iter():
        pid = candidate.pid
        try:
            if os.getsid(pid) != process.pid or start_mark(pid) is None:
                continue
        except (ProcessLookupError, PermissionError):
            continue
        # Once the leader has ended, its id may be reused for another session. Our processes carry the mark.
        if leader_lives or _carries_mark(candidate):
            found.append(pid)
    return found


def _carries_mark(process: psutil.Process) -> bool:
    try:
        return _MARK in process.environ()
    except (psutil.Error, OSError):
        return False


def write(path: Path, process: Running) -> None:
    """Record a process in a file, so that other processes can identify it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(process)) + "\n", encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> Running | None:
    """Read a recorded process; None if the file is missing or unreadable."""
    try:
        return Running(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def last_lines(log: Path, count: int = 15) -> tuple[str, ...]:
    """The last non-blank lines of a log; empty if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(line for line in text.splitlines() if line.strip())[-count:]

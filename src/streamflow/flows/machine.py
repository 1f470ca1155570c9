"""Jobs as processes on this machine, which outlive the conductor: one that comes back waits for the same process."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from streamflow.errors import UsageError
from streamflow.flows import order
from streamflow.flows.order import Declared
from streamflow.flows.places import Tell
from streamflow.flows.said import Said, of_lines, told
from streamflow.settings import PrefectSettings

_FOREIGN = ("PREFECT_", "VIRTUAL_ENV", "PYTHONPATH")
_KEEP_SECONDS = 30 * 86400
# The kernel keeps the time, so the job ends in time even if nobody conducts; an alarm outlives the exec.
_WITH_ALARM = "import os, signal, sys; signal.alarm(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


class Machine:
    """Runs jobs with the interpreter that has their libraries.

    Args:
        home: Folder of the local stack; the logs of the jobs are below it.
        prefect: Which interpreter, and where the declarations are.
    """

    def __init__(self, home: Path, prefect: PrefectSettings) -> None:
        self._home = home.expanduser().resolve()
        self._prefect = prefect
        self._logs = self._home / "prefect" / "jobs"

    def declared(self) -> list[Declared]:
        """The jobs of the folder of declarations.

        Raises:
            NotFound: The folder has none.
        """
        return order.of_folder(self._prefect.jobs_folder)

    def run(self, job: Declared, key: str, parameters: Mapping[str, str], tell: Tell) -> Said:
        """Run a job as a process and wait for its end, or for the end of the one that was started with this key.

        Raises:
            UsageError: The interpreter cannot be started.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        _forget(self._logs)
        log = self._logs / f"{key}.log"
        started = None
        if not log.exists() or not (_alive(log) or _has_ended(log)):
            started = self._start(job, log, parameters)
        lines = []
        for line in _followed(log, self._prefect.poll_seconds):
            lines.append(line)
            tell(told(line))
        if started is not None and started.wait() == -signal.SIGALRM:
            return Said(
                "killed", why=f"The job took longer than its deadline of {job.deadline_seconds:.0f} s."
            )
        return of_lines(lines)

    def _start(self, job: Declared, log: Path, parameters: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the process. Its output is a locked file: the lock lasts as long as the process lives."""
        python = self._prefect.job_python.expanduser().absolute()
        if not os.access(python, os.X_OK):
            raise UsageError(
                f"The interpreter for jobs, {python}, cannot be started.",
                hint="Run 'make setup', or name another one in STREAMFLOW_PREFECT__JOB_PYTHON.",
            )
        alarm = [sys.executable, "-IS", "-c", _WITH_ALARM, str(math.ceil(job.deadline_seconds))]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        with log.open("wb") as output:
            fcntl.flock(output, fcntl.LOCK_EX)
            # Its end is seen by the lock, also by a conductor that did not start it.
            return subprocess.Popen(
                [*alarm, str(python), "-m", "streamflow", "jobs", "exec", job.name],
                env={
                    **inherited,
                    **parameters,
                    "PATH": os.pathsep.join([str(python.parent), inherited.get("PATH", os.defpath)]),
                    "STREAMFLOW_HOME": str(self._home),
                    "STREAMFLOW_LOG__FORMAT": "json",
                    "STREAMFLOW_LOG__LEVEL": "info",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _alive(log: Path) -> bool:
    """Whether the process that writes this file lives."""
    with log.open("rb") as file:
        return _is_locked(file)


def _is_locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _has_ended(log: Path) -> bool:
    """Whether the job logged how it ended; if not, it was killed, and is to be started again."""
    said = of_lines(log.read_text(encoding="utf-8", errors="replace").splitlines())
    return said.outcome == "done"


def _followed(log: Path, poll_seconds: float) -> Iterator[str]:
    """Yield the whole lines of a file until its writer has ended."""
    rest = b""
    with log.open("rb") as file:
        while True:
            # Asked before reading, so that the last lines are not missed.
            alive = _is_locked(file)
            *whole, rest = (rest + file.read()).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")
            if not alive:
                if rest:
                    yield rest.decode("utf-8", "replace")
                return
            time.sleep(poll_seconds)


def _forget(folder: Path) -> None:
    """Remove the logs of runs that nobody comes back for."""
    for log in folder.glob("*.log"):
        with contextlib.suppress(OSError):
            if time.time() - log.stat().st_mtime > _KEEP_SECONDS:
                log.unlink()

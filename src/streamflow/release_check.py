"""Check a model version in a process of its own, so that a version that cannot be checked harms nothing else.

ONNX has loops and tensors of any size, so loading a model, or predicting its golden rows, may never end or take all
memory. The child has limits on time, processor time, memory and the size of files; it has no network to reach and
writes nothing. It also measures how long the model takes for one row.

    python -m streamflow.release_check FOLDER NAME VERSION MANIFEST_SHA256
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamflow import disk_full, release
from streamflow.errors import ReleaseRefused, ReleaseUnfit
from streamflow.model_version import files as version_files
from streamflow.release import Release, VersionPointer

SECONDS = 30.0
"""Longest time of a check."""

CPU_SECONDS = 20
"""Most processor time of a check."""

MEMORY_BYTES = 256 * 2**20
"""Most memory that a check may map, beside the libraries and eight times the size of the files."""

ROW_MILLISECONDS = 50.0
"""Most processor time that a model may take for one row, in milliseconds; the median of several rows counts.

A forest takes 0.1 to 0.3, so that a busy machine refuses no version that could be served.
"""

_COMMAND = ("-m", "streamflow.release_check")
_FILE_BYTES = 2**20
_REFUSED = 3
_TIMED_ROWS = 9
_TIMING_SECONDS = 3.0
_ENDED_BY_PEOPLE = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def check(pointer: VersionPointer, files: Mapping[str, bytes]) -> Release:
    """Check the files of a version in a child process, and then make a release of them in this one.

    Args:
        pointer: Model version that the files belong to.
        files: Content of each file in `SERVED`, by name.

    Raises:
        ReleaseUnfit: A check failed, or the child did not survive it; the message says which.
        ReleaseRefused: The files are not those of the version, or this machine could not check them.
    """
    # Files that are not those of the version need no child.
    release.verify(pointer, files)
    check_apart(pointer, files)
    try:
        return release.check(pointer, files)
    except ReleaseUnfit as error:
        # The child has just shown that the files pass, so the reason is in this process.
        raise ReleaseRefused(error.what, hint=error.hint) from error


def check_apart(pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    """Check the files of a version in a child process.

    Raises:
        ReleaseUnfit: A check failed, or the child did not survive it; the message says which.
        ReleaseRefused: The child could not check the files, for a reason of its own.
    """
    with _folder_with(pointer, files) as folder:
        command = [
            *(sys.executable, *_COMMAND, str(folder)),
            *(pointer.name, str(pointer.version), pointer.manifest_sha256),
        ]
        # No secret of this process, and no library that a variable could name.
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        child = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            said, _ = child.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise _not_survived(pointer, f"its check had not ended after {SECONDS:g} s") from None
        finally:
            _end(child)
    if child.returncode == _REFUSED:
        found = json.loads(said)
        raise ReleaseUnfit(found["what"], hint=found["hint"], why=found["why"])
    if child.returncode < 0 and -child.returncode not in _ENDED_BY_PEOPLE:
        raise _not_survived(pointer, _why(child.returncode))
    if child.returncode:
        raise release.refused(pointer, _why(child.returncode))


@contextlib.contextmanager
def _folder_with(pointer: VersionPointer, files: Mapping[str, bytes]) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamflow-check-")))
            for file in version_files.SERVED:
                (folder / file).write_bytes(files[file])
        except OSError as error:
            full = disk_full.behind(error)
            if full is None:
                raise
            why = full.what.removesuffix(".")
            raise release.refused(pointer, f"it cannot be checked: {why}", hint=full.hint) from error
        yield folder


def _not_survived(pointer: VersionPointer, why: str) -> ReleaseUnfit:
    return release.unfit(pointer, why, instead=recheck(pointer.version))


def recheck(version: int) -> str:
    """What to do about a refusal whose reason is gone, in one sentence."""
    return f"If this machine was the reason, such as its memory, check it again: streamflow models recheck {version}"


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and whatever it started."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def _why(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"its check used more than {CPU_SECONDS} s of processor time"
    if code < 0:
        return f"its check was ended by signal {signal.Signals(-code).name}"
    return f"its check failed with exit code {code}"


def limit(size: int) -> None:
    """Limit this process.

    Args:
        size: Bytes of the files that it reads.
    """
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    most = mapped + MEMORY_BYTES + 8 * size
    for kind, value in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value + 1 if kind == resource.RLIMIT_CPU else value))


def main(arguments: Sequence[str]) -> int:
    """Check the files of a folder; print why they are refused as JSON, and exit with 3 then."""
    folder, name, version, manifest_sha256 = arguments
    files = {file: (Path(folder) / file).read_bytes() for file in version_files.SERVED}
    limit(sum(map(len, files.values())))
    try:
        checked = release.check(VersionPointer(name, int(version), manifest_sha256), files)
        check_pace(checked, json.loads(files[version_files.GOLDEN])["rows"])
    except ReleaseUnfit as error:
        sys.stdout.write(json.dumps({"what": error.what, "hint": error.hint, "why": error.why}))
        return _REFUSED
    return 0


def check_pace(checked: Release, rows: Sequence[Sequence[Any]]) -> None:
    """Check how long a model takes for one row.

    Not by the wall clock: what else runs on the machine must not decide about the model.

    Args:
        checked: The version, which has just predicted its golden rows.
        rows: Its golden rows.

    Raises:
        ReleaseUnfit: It takes too long; the message has the figures.
    """
    times: list[float] = []
    while len(times) < _TIMED_ROWS and sum(times) < _TIMING_SECONDS:
        began = time.process_time()
        checked.probabilities([rows[len(times) % len(rows)]])
        times.append(time.process_time() - began)
    milliseconds = statistics.median(times) * 1000
    if milliseconds > ROW_MILLISECONDS:
        limit_ms = f"{ROW_MILLISECONDS:g} ms"
        why = f"it takes {milliseconds:,.1f} ms of processor time for one row, and may take {limit_ms}"
        raise release.unfit(checked.pointer, why)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

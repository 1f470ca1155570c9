"""Check a model version in a process of its own, so that a version that cannot be checked harms nothing else.

ONNX has loops and tensors of any size, so loading a model, or predicting its golden rows, may never end or take all
memory. The child has limits on time, processor time, memory and the size of files; it has no network to reach and
writes nothing. It also measures how long the model takes for one row.

    echo '["NAME", VERSION, "MANIFEST_SHA256"]' | python -m streamflow.release_check   # in the folder of the files
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamflow import confined, disk_full, release
from streamflow.confined import Child
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

_COMMAND = confined.RELEASE_CHECK
_FILE_BYTES = 2**20
_REFUSED = 3
_TIMED_ROWS = 9
_TIMING_SECONDS = 3.0
_ENDED_BY_PEOPLE = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def prepare() -> Child:
    """Start the child of a check whose version is not known yet.

    Raises:
        OSError: It cannot be started.
    """
    return Child(_COMMAND)


def check(pointer: VersionPointer, files: Mapping[str, bytes], prepared: Child | None = None) -> Release:
    """Check the files of a version in a child process, and then make a release of them in this one.

    Args:
        pointer: Model version that the files belong to.
        files: Content of each file in `SERVED`, by name.
        prepared: A child that has been started; by default, one is started now.

    Raises:
        ReleaseUnfit: A check failed, or the child did not survive it; the message says which.
        ReleaseRefused: The files are not those of the version, or this machine could not check them.
    """
    # Files that are not those of the version need no child.
    release.verify(pointer, files)
    check_apart(pointer, files, prepared)
    try:
        return release.check(pointer, files)
    except ReleaseUnfit as error:
        # The child has just shown that the files pass, so the reason is in this process.
        raise ReleaseRefused(error.what, hint=error.hint) from error


def check_apart(pointer: VersionPointer, files: Mapping[str, bytes], prepared: Child | None = None) -> None:
    """Check the files of a version in a child process.

    Raises:
        ReleaseUnfit: A check failed, or the child did not survive it; the message says which.
        ReleaseRefused: The child could not check the files, for a reason of its own.
    """
    child = _child_with(pointer, files, prepared)
    question = json.dumps([pointer.name, pointer.version, pointer.manifest_sha256])
    try:
        code, said = child.ask(question, SECONDS)
    except subprocess.TimeoutExpired:
        raise _not_survived(pointer, f"its check had not ended after {SECONDS:g} s") from None
    if code == _REFUSED:
        found = json.loads(said)
        raise ReleaseUnfit(found["what"], hint=found["hint"], why=found["why"])
    if code < 0 and -code not in _ENDED_BY_PEOPLE:
        raise _not_survived(pointer, _why(code))
    if code:
        raise release.refused(pointer, _why(code))


def _child_with(pointer: VersionPointer, files: Mapping[str, bytes], prepared: Child | None) -> Child:
    """A child in whose folder the files are."""
    child = prepared
    try:
        child = child or prepare()
        for file in version_files.SERVED:
            (child.folder / file).write_bytes(files[file])
    except OSError as error:
        if child is not None:
            child.end()
        full = disk_full.behind(error)
        if full is None:
            raise
        why = full.what.removesuffix(".")
        raise release.refused(pointer, f"it cannot be checked: {why}", hint=full.hint) from error
    return child


def _not_survived(pointer: VersionPointer, why: str) -> ReleaseUnfit:
    return release.unfit(pointer, why, instead=recheck(pointer.version))


def recheck(version: int) -> str:
    """What to do about a refusal whose reason is gone, in one sentence."""
    return f"If this machine was the reason, such as its memory, check it again: streamflow models recheck {version}"


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
    confined.limit(MEMORY_BYTES + 8 * size, CPU_SECONDS, _FILE_BYTES)


def main() -> int:
    """Check the files of this folder; print why they are refused as JSON, and exit with 3 then."""
    name, version, manifest_sha256 = json.loads(sys.stdin.readline())
    files = {file: Path(file).read_bytes() for file in version_files.SERVED}
    # A library counts as mapped before only if it is loaded before.
    import onnxruntime  # noqa: F401

    limit(sum(map(len, files.values())))
    try:
        checked = release.check(VersionPointer(name, version, manifest_sha256), files)
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
    sys.exit(main())

"""Check a model version in a process of its own, so that a version that cannot be checked harms nothing else.

ONNX has loops and tensors of any size, so loading a model, or predicting its golden rows, may never end or take all
memory. The child has limits on time, processor time, memory and the size of files; it has no network to reach and
writes nothing.

    python -m streamflow.release_check FOLDER NAME VERSION MANIFEST_SHA256
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamflow import release
from streamflow.errors import ReleaseRefused
from streamflow.model_version import files as version_files
from streamflow.release import Release, VersionPointer

SECONDS = 30.0
"""Longest time of a check."""

CPU_SECONDS = 20
"""Most processor time of a check."""

MEMORY_BYTES = 256 * 2**20
"""Most memory that a check may map, beside the libraries and eight times the size of the files."""

_COMMAND = ("-m", "streamflow.release_check")
_FILE_BYTES = 2**20
_REFUSED = 3


def check(pointer: VersionPointer, files: Mapping[str, bytes]) -> Release:
    """Check the files of a version in a child process, and then make a release of them in this one.

    Args:
        pointer: Model version that the files belong to.
        files: Content of each file in `SERVED`, by name.

    Raises:
        ReleaseRefused: A check failed, or the child did not survive it; the message says which.
    """
    # Files that are not those of the version need no child.
    release.verify(pointer, files)
    check_apart(pointer, files)
    return release.check(pointer, files)


def check_apart(pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    """Check the files of a version in a child process.

    Raises:
        ReleaseRefused: A check failed, or the child did not survive it; the message says which.
    """
    with tempfile.TemporaryDirectory(prefix="streamflow-check-") as name:
        folder = Path(name)
        for file in version_files.SERVED:
            (folder / file).write_bytes(files[file])
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
            raise release.refused(pointer, f"its check had not ended after {SECONDS:g} s") from None
        finally:
            _end(child)
    if child.returncode == _REFUSED:
        found = json.loads(said)
        raise ReleaseRefused(found["what"], hint=found["hint"])
    if child.returncode:
        raise release.refused(pointer, _why(child.returncode))


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
        release.check(VersionPointer(name, int(version), manifest_sha256), files)
    except ReleaseRefused as error:
        sys.stdout.write(json.dumps({"what": error.what, "hint": error.hint}))
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

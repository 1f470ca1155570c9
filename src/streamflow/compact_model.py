"""A release whose model is held in the least memory: in ONNX Runtime's own form, written by a child process.

A session that was made from ONNX keeps the parsed file: for 300 trees 100 MiB, 70 of them texts and numbers that it never
reads again. One that was made from ONNX Runtime's form keeps none of it. The nodes, their order and the kernels are the
same, and so is every bit of an answer.

    python -m streamflow.compact_model DESCRIPTOR   # in the folder of the model
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from streamflow import confined, release
from streamflow.confined import Child
from streamflow.model_version import files as version_files
from streamflow.release import Release

WORTH_BYTES = 2**20
"""Size of a model from which it is worth while."""

_SECONDS = 15.0
"""Longest wait for the child. A promotion waits for it too."""

_CPU_SECONDS = 30
_LESS_URGENT = 10
_MEMORY_BYTES = 448 * 2**20
"""Most memory that the child may map, beside the libraries; for a model of 20 MB it maps 389 MiB."""

_FILE_BYTES = 64 * 2**20
_CGROUP = Path("/sys/fs/cgroup")
_ACCOUNTS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""Files of the limit and of the memory in use, and name of the cache in `memory.stat`, for each version of cgroups."""


class NotCompactError(Exception):
    """The model cannot be had in that form."""


def compacted(held: Release, files: Mapping[str, bytes]) -> Release:
    """The same release with its model in ONNX Runtime's form.

    Args:
        held: A release that passed its check.
        files: Its files.

    Raises:
        NotCompactError: The child, or what it wrote, failed; the release that there is remains good.
    """
    if _room() < _MEMORY_BYTES + _FILE_BYTES:
        raise NotCompactError("the memory limit of the container leaves too little room")
    written = os.memfd_create("model")
    try:
        child = Child(("-m", "streamflow.compact_model", str(written)), keep=(written,))
        (child.folder / version_files.ONNX).write_bytes(files[version_files.ONNX])
        code, _ = child.ask("", _SECONDS)
        if code:
            raise NotCompactError(f"exit code {code}")
        made = replace(held, session=release.compact_session(_path(written)))
        if release.golden(made, files).tobytes() != release.golden(held, files).tobytes():
            raise NotCompactError("golden rows do not reproduce")
    except NotCompactError:
        raise
    except Exception as error:
        raise NotCompactError(type(error).__name__) from error
    finally:
        os.close(written)
    return made


def _room() -> float:
    """Bytes that the container may still use, in which a cache of files does not count; infinite without a limit."""
    for most, used, cache in _ACCOUNTS:
        try:
            limit = (_CGROUP / most).read_text(encoding="ascii").strip()
            taken = int((_CGROUP / used).read_text(encoding="ascii"))
            stat = (_CGROUP / most).with_name("memory.stat").read_text(encoding="ascii")
        except OSError:
            continue
        counts = dict(line.split() for line in stat.splitlines())
        return math.inf if limit == "max" else int(limit) - taken + int(counts[cache])
    return math.inf


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def main(descriptor: int) -> None:
    """Read the line, and write the model of this folder."""
    sys.stdin.readline()
    os.nice(_LESS_URGENT)
    # What is loaded on demand, before the limit.
    import onnxruntime  # noqa: F401

    confined.limit(_MEMORY_BYTES, _CPU_SECONDS, _FILE_BYTES)
    release.write_compact(version_files.ONNX, _path(descriptor))


if __name__ == "__main__":
    main(int(sys.argv[1]))

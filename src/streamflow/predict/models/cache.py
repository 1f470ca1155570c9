"""The newest good release on disk, for a start while MLflow does not answer."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from streamflow.model_version import files as version_files
from streamflow.release import Release, VersionPointer, check, refused

_POINTER = "release.json"
"""File that says which release a cache folder contains."""


def store(folder: Path, pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    """Cache the files of a checked release, so that the predict service can start while MLflow is down.

    A crash leaves the previous release, or none, but never a mixture of two.

    Args:
        folder: Cache folder; created if missing.
        pointer: Model version of the release.
        files: Content of each file in `SERVED`, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = _place(folder, pointer)
    if not _holds(target, files):
        writing = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
        for file, content in files.items():
            (writing / file).write_bytes(content)
        shutil.rmtree(target, ignore_errors=True)
        writing.rename(target)
    # The order matters: the pointer may name the new copy only when that is complete, and the previous copy may go
    # only when the pointer no longer names it.
    fresh = folder / f"{_POINTER}.new"
    fresh.write_text(json.dumps(asdict(pointer)))
    fresh.replace(folder / _POINTER)
    # This also removes the `.writing-*` folders that a crash left behind.
    for old in folder.iterdir():
        if old.is_dir() and old != target:
            shutil.rmtree(old, ignore_errors=True)


def pointer_of(folder: Path, name: str) -> VersionPointer | None:
    """Return which release of a model is cached.

    Args:
        folder: Cache folder.
        name: Name of the registered model.

    Returns:
        The cached model version; None if there is none, if it is of another model, or if the pointer is corrupt.
    """
    try:
        found = json.loads((folder / _POINTER).read_text())
        pointer = VersionPointer(str(found["name"]), int(found["version"]), str(found["manifest_sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pointer if pointer.name == name else None


def load(folder: Path, pointer: VersionPointer) -> Release:
    """Load a cached release, with the same checks as after a download.

    Args:
        folder: Cache folder.
        pointer: Cached model version, from `kept_pointer`.

    Raises:
        ReleaseRefused: A file is missing, or a check failed.
    """
    source = _place(folder, pointer)
    try:
        files = {file: (source / file).read_bytes() for file in version_files.SERVED}
    except OSError as error:
        raise refused(pointer, f"its kept copy is incomplete ({error.strerror})") from error
    return check(pointer, files)


def _place(folder: Path, pointer: VersionPointer) -> Path:
    """Return the folder with a release's files in a cache folder."""
    return folder / f"{pointer.name}-{pointer.version}-{pointer.manifest_sha256[:16]}"


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Return whether a folder already contains these files, so that they need not be written again."""
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False

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


def store(folder: Path, pointer: VersionPointer, files: Mapping[str, bytes]) -> None:
    """Keep a good release for a start without MLflow; replaced as a whole, so a crash leaves the old one or none."""
    folder.mkdir(parents=True, exist_ok=True)
    target = _place(folder, pointer)
    if not _holds(target, files):
        writing = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
        for file, content in files.items():
            (writing / file).write_bytes(content)
        shutil.rmtree(target, ignore_errors=True)
        writing.rename(target)
    fresh = folder / f"{_POINTER}.new"
    fresh.write_text(json.dumps(asdict(pointer)))
    fresh.replace(folder / _POINTER)
    for old in folder.iterdir():
        if old.is_dir() and old != target:
            shutil.rmtree(old, ignore_errors=True)


def pointer_of(folder: Path, name: str) -> VersionPointer | None:
    """Which release is kept in `folder`; None when there is none of this model."""
    try:
        found = json.loads((folder / _POINTER).read_text())
        pointer = VersionPointer(str(found["name"]), int(found["version"]), str(found["manifest_sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pointer if pointer.name == name else None


def load(folder: Path, pointer: VersionPointer) -> Release:
    """The release kept in `folder`, checked like any.

    Raises:
        ReleaseRefused: the kept files fail a check.
    """
    source = _place(folder, pointer)
    try:
        files = {file: (source / file).read_bytes() for file in version_files.SERVED}
    except OSError as error:
        raise refused(pointer, f"its kept copy is incomplete ({error.strerror})") from error
    return check(pointer, files)


def _place(folder: Path, pointer: VersionPointer) -> Path:
    return folder / f"{pointer.name}-{pointer.version}-{pointer.manifest_sha256[:16]}"


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False

"""Recognizes a full disk behind any error, so that the message names it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from streamflow.errors import DiskFull

_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_NO_FOLDER = "No usable temporary directory"
"""What `tempfile` says, at its first use, if it can write to no folder."""
_FULL_BYTES = 1_048_576


def behind(error: BaseException) -> DiskFull | None:
    """A description of the full disk that caused an error; None if none did."""
    for cause in _chain(error):
        if isinstance(cause, DiskFull):
            return cause
        if isinstance(cause, OSError) and (cause.errno in _ERRORS or _NO_FOLDER in str(cause)):
            return DiskFull(
                f"{_place(cause)} is full.",
                hint="Free some space there, then run this again; temporary files go to the folder that TMPDIR names.",
            )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _place(error: OSError) -> str:
    # A failed write does not know its file; its folder is then one without room.
    named = error.filename2 or error.filename
    if isinstance(named, str | bytes):
        return f"The disk of {Path(os.fsdecode(named)).parent}"
    for folder in (_temporary(), str(Path.cwd())):
        if shutil.disk_usage(folder).free < _FULL_BYTES:
            return f"The disk of {folder}"
    return "A disk"


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        # No folder for temporary files can be written to, which is why this one was not chosen.
        return os.environ.get("TMPDIR", "/tmp")  # noqa: S108

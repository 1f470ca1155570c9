"""Tell complete drops from those that are still being delivered."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from streamflow.drops.raw_file import names

MARKERS = ("_INCOMPLETE", "*.part", "*.tmp")
"""Glob patterns of files that mark a drop as incomplete."""

QUIET_SECONDS = 5.0
"""A drop counts as complete once its files have been unchanged for this long."""

PATIENCE_SECONDS = 30.0
"""Longest wait for a drop to become complete, before it is left to the next run."""


def is_complete(
    folder: Path, patience: float = PATIENCE_SECONDS, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Whether no file marks a drop as incomplete, and none has changed for `QUIET_SECONDS`.

    Waits for a recently changed drop, so that a drop copied just before the job starts is not left to the
    next day's run.

    Args:
        folder: Folder of the drop.
        patience: Longest wait, in seconds.
        pause: Sleeps for a number of seconds; tests replace it.

    Raises:
        FileError: The folder holds too many files.
        OSError: The folder cannot be read, or is a symbolic link.
    """
    while not marked(names(folder)):
        left = QUIET_SECONDS - (time.time() - _last_change(folder))
        if left <= 0:
            return True
        # This is also where a modification time in the future ends up; waiting for it could take forever.
        if left > patience:
            return False
        pause(left)
        patience -= left
    return False


def marked(files: Iterable[str]) -> bool:
    """Whether one of these files marks its drop as incomplete."""
    return any(fnmatch.fnmatchcase(name, marker) for name in files for marker in MARKERS)


def _last_change(folder: Path) -> float:
    """Return the newest modification time of the folder and its files, in Unix seconds."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *(folder / name for name in names(folder))))
    except FileNotFoundError:
        # A file was removed or renamed since the folder was listed.
        return time.time()

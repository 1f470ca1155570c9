"""The inbox: list the drops in a folder or an object store, and tell complete ones from partial ones."""

from __future__ import annotations

import calendar
import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from streamflow.errors import DependencyDown, UsageError

FIRST_AS_OF = date(2024, 1, 31)
"""As-of of the folder `month_000`, for drops whose folders are numbered instead of dated."""

MARKERS = ("_INCOMPLETE", "*.part", "*.tmp")
"""Glob patterns of files that mark a drop as incomplete."""

QUIET_SECONDS = 5.0
"""A drop counts as complete once its files have been unchanged for this long."""

PATIENCE_SECONDS = 30.0
"""Longest wait for a drop to become complete, before it is left to the next run."""

_MONTH = re.compile(r"month_(\d{3})")
_COPY_BYTES = 1 << 20

Listing = dict[str, dict[str, tuple[int, int]]]
"""Size in bytes and modification time in nanoseconds of each path, by name of the drop's folder."""


@contextlib.contextmanager
def opened(inbox: str, known: Collection[date]) -> Iterator[Path]:
    """Open the inbox as a local folder, copying drops from an object store to a temporary folder.

    Args:
        inbox: Path of a folder, or URL of an object store.
        known: As-of dates to skip when copying.

    Raises:
        UsageError: The URL does not name an object store.
        DependencyDown: The object store does not answer, or denies access.
    """
    if "://" not in inbox:
        yield Path(inbox)
        return
    with tempfile.TemporaryDirectory() as folder:
        fetch(inbox, Path(folder), known)
        yield Path(folder)


def dated_folders(root: Path, first_as_of: date = FIRST_AS_OF) -> list[tuple[date, Path]]:
    """List the drops below `root` with their as-of dates, oldest first.

    A drop's folder is named after its date (2024-01-31) or by its number of months after `first_as_of`
    (month_000). Other folders are ignored.

    Args:
        root: Folder that contains the drops' folders.
        first_as_of: As-of of `month_000`; if it is the last day of its month, so are the following ones.

    Raises:
        UsageError: The folder does not exist, or two folders stand for the same date.
    """
    if not root.is_dir():
        raise UsageError(
            f"There is no folder '{root}'.", hint="Name the folder that holds the drops' folders."
        )
    found: dict[date, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        when = date_of(folder.name, first_as_of)
        if when is None:
            continue
        if when in found:
            raise UsageError(
                f"'{found[when].name}' and '{folder.name}' are both the drop of {when}.",
                hint="Keep one of them, or ingest each with --as-of.",
            )
        found[when] = folder
    return sorted(found.items())


def date_of(name: str, first_as_of: date = FIRST_AS_OF) -> date | None:
    """Return the as-of date that a folder's name stands for, or None if the folder is not a drop."""
    numbered = _MONTH.fullmatch(name)
    return month_later(first_as_of, int(numbered[1])) if numbered else _dated(name)


def month_later(day: date, months: int) -> date:
    """Add months to a date, clamped to the end of the month; the last day of a month stays the last day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    last = calendar.monthrange(year, month)[1]
    at_end = day.day == calendar.monthrange(day.year, day.month)[1]
    return date(year, month, last if at_end else min(day.day, last))


def as_of(folder: Path) -> date:
    """Read the as-of of a drop from its folder's name.

    Raises:
        UsageError: The folder's name is not a date.
    """
    when = _dated(folder.resolve().name)
    if when is None:
        raise UsageError(
            f"The folder's name, '{folder.resolve().name}', is not the date of the drop.",
            hint="Say when: --as-of 2024-01-31.",
        )
    return when


def is_complete(
    folder: Path, patience: float = PATIENCE_SECONDS, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Whether a drop has no incomplete marker and has been unchanged for `QUIET_SECONDS`.

    Waits for a recently changed drop, so that a drop copied just before the job starts is not left to the
    next day's run.

    Args:
        folder: Folder of the drop.
        patience: Longest wait, in seconds.
        pause: Sleeps for a number of seconds; tests replace it.
    """
    while not any(True for marker in MARKERS for _ in folder.glob(marker)):
        left = QUIET_SECONDS - (time.time() - _last_change(folder))
        if left <= 0:
            return True
        # This is also where a modification time in the future ends up; waiting for it could take forever.
        if left > patience:
            return False
        pause(left)
        patience -= left
    return False


def _last_change(folder: Path) -> float:
    """Return the newest modification time of the folder and its files, in Unix seconds."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


def _dated(name: str) -> date | None:
    try:
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def fetch(
    url: str, folder: Path, known: Collection[date], pause: Callable[[float], None] = time.sleep
) -> tuple[str, ...]:
    """Copy the drops below an object-store URL to a local folder.

    If any object changed within the last `QUIET_SECONDS`, waits that long and skips drops that changed
    meanwhile: they are still being uploaded, and the next run takes them.

    Args:
        url: URL of the folder that contains the drops' folders.
        folder: Local folder to copy to.
        known: As-of dates to skip.
        pause: Sleeps for a number of seconds; tests replace it.

    Returns:
        Names of the copied folders.

    Raises:
        UsageError: The URL does not name an object store.
        DependencyDown: The store does not answer, or denies access.
    """
    try:
        store, root = fs.FileSystem.from_uri(url)
        drops = _complete(store, root, known, pause)
        for name, files in drops.items():
            for path, (_, changed) in files.items():
                target = folder / name / PurePosixPath(path).name
                _copy(store, path, target)
                # `is_complete` reads these times; a fresh copy would look like an upload in progress.
                os.utime(target, ns=(changed, changed))
            newest = max(changed for _, changed in files.values())
            os.utime(folder / name, ns=(newest, newest))
    except ValueError as error:
        raise UsageError(
            f"The inbox {url} is not the URL of an object store: {error}",
            hint="Correct STREAMFLOW_INGEST__INBOX, for example s3://bucket/drops.",
        ) from error
    except OSError as error:
        raise DependencyDown(
            f"The inbox {url} cannot be read: {str(error).splitlines()[0]}",
            hint="Check STREAMFLOW_INGEST__INBOX, and the credentials in the job's environment.",
        ) from error
    return tuple(drops)


def _complete(store: Any, root: str, known: Collection[date], pause: Callable[[float], None]) -> Listing:
    drops = listing(store, root, known)
    newest = max((changed for files in drops.values() for _, changed in files.values()), default=0)
    if time.time() - newest / 1e9 >= QUIET_SECONDS:
        return drops
    pause(QUIET_SECONDS)
    again = listing(store, root, known)
    return {name: files for name, files in drops.items() if again.get(name) == files}


def listing(store: Any, root: str, known: Collection[date]) -> Listing:
    """List the files of each drop below `root`, ignoring folders within a drop.

    Args:
        store: A pyarrow FileSystem.
        root: Path of the inbox in `store`.
        known: As-of dates to skip.
    """
    found: Listing = {}
    for item in store.get_file_info(fs.FileSelector(root, recursive=True)):
        parts = PurePosixPath(item.path).relative_to(PurePosixPath(root)).parts
        if item.type != fs.FileType.File or len(parts) != 2:
            continue
        when = date_of(parts[0])
        if when is not None and when not in known:
            found.setdefault(parts[0], {})[item.path] = (item.size, item.mtime_ns or 0)
    return found


def _copy(store: Any, path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with store.open_input_stream(path) as source, target.open("wb") as copy:
        while part := source.read(_COPY_BYTES):
            copy.write(part)

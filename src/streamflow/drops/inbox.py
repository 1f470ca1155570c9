"""The inbox: which drops lie in a folder or an object store, and which of them are complete."""

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
"""As-of of `month_000` in folders that are numbered instead of dated."""

MARKERS = ("_INCOMPLETE", "*.part", "*.tmp")
"""Files that mark a drop as still being written."""

QUIET_SECONDS = 5.0
"""How long the files of a drop must be unchanged before it counts as complete."""

PATIENCE_SECONDS = 30.0
"""How long to wait for that before a drop is left for the next run."""

_MONTH = re.compile(r"month_(\d{3})")
_COPY_BYTES = 1 << 20

Listing = dict[str, dict[str, tuple[int, int]]]
"""Size in bytes and time of the last change in nanoseconds, by path in the store, by name of the drop's folder."""


@contextlib.contextmanager
def opened(inbox: str, known: Collection[date]) -> Iterator[Path]:
    """Open the inbox as a local folder; the drops of an object store are copied to a temporary one.

    Args:
        inbox: Path of a folder, or URL of an object store.
        known: Dates that need not be copied.

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
    """The drops below `root` and their as-of, oldest first.

    A folder is named by its date (2024-01-31) or by a number of months after `first_as_of` (month_000; month
    ends stay month ends). Other folders are ignored.

    Raises:
        UsageError: There is no such folder, or two folders have the same date.
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
    """The date that a folder's name stands for; None when it is not a drop."""
    numbered = _MONTH.fullmatch(name)
    return month_later(first_as_of, int(numbered[1])) if numbered else _dated(name)


def month_later(day: date, months: int) -> date:
    """The same day `months` later, at most the month's last; the last of a month stays the last."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    last = calendar.monthrange(year, month)[1]
    at_end = day.day == calendar.monthrange(day.year, day.month)[1]
    return date(year, month, last if at_end else min(day.day, last))


def as_of(folder: Path) -> date:
    """The as-of of a drop whose folder is named by it.

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
    """Whether a drop is not marked as incomplete and is unchanged for `QUIET_SECONDS`.

    A drop that changed a moment ago is waited for, so that one copied just before the job starts is not left until
    the next day.

    Args:
        folder: The drop.
        patience: Longest wait, in seconds.
        pause: Waits for seconds.
    """
    while not any(True for marker in MARKERS for _ in folder.glob(marker)):
        left = QUIET_SECONDS - (time.time() - _last_change(folder))
        if left <= 0:
            return True
        if left > patience:
            return False
        pause(left)
        patience -= left
    return False


def _last_change(folder: Path) -> float:
    """When the folder or a file in it was last written, in seconds since 1970."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


def _dated(name: str) -> date | None:
    try:
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def fetch(
    url: str, folder: Path, known: Collection[date], pause: Callable[[float], None] = time.sleep
) -> tuple[str, ...]:
    """Copy the drops below an object-store URL to `folder`.

    A drop that is still being uploaded is left for the next run: one that changed a moment ago must look the same
    after `QUIET_SECONDS`.

    Args:
        url: Where the drops are.
        folder: Where to copy them.
        known: Dates that need not be copied.
        pause: Waits for seconds.

    Returns:
        Names of the folders that were copied.

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
                # `is_complete` judges the copy by its times.
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
    """The files of every drop below `root`; folders within a drop are ignored.

    Args:
        store: A pyarrow FileSystem.
        root: Path in it.
        known: Dates to leave out.
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

"""The inbox: list the drops in a folder or an object store, and tell complete ones from partial ones."""

from __future__ import annotations

import calendar
import contextlib
import fnmatch
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from streamflow.drops import limits
from streamflow.drops.files import CHECKSUMS
from streamflow.drops.quoting import shown, shown_names, shown_path
from streamflow.drops.raw_file import names
from streamflow.errors import DependencyDown, UsageError

FIRST_AS_OF = date(2024, 1, 31)
"""As-of of the folder `month_000`, for drops whose folders are numbered instead of dated."""

MARKERS = ("_INCOMPLETE", "*.part", "*.tmp")
"""Glob patterns of files that mark a drop as incomplete."""

QUIET_SECONDS = 5.0
"""A drop counts as complete once its files have been unchanged for this long."""

PATIENCE_SECONDS = 30.0
"""Longest wait for a drop to become complete, before it is left to the next run."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MONTH = re.compile(r"month_(\d{3})", re.ASCII)
_LIKE_A_DATE = re.compile(r"[\d\W_]+")
_LIKE_A_MONTH = re.compile(r"month[\W_]*\d+", re.IGNORECASE)
_LONGEST_NAME, _SHORT_NAME = 255, 60
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
    if inbox.startswith("file:"):
        # The general way would copy what links point to; a local folder's files are opened without following.
        yield Path(unquote(urlsplit(inbox).path))
        return
    with tempfile.TemporaryDirectory() as folder:
        fetch(inbox, Path(folder), known)
        yield Path(folder)


def dated_folders(root: Path, first_as_of: date = FIRST_AS_OF) -> list[tuple[date, Path]]:
    """List the drops below `root` as `scan` does, and refuse a folder that contains any other problem.

    Raises:
        UsageError: The folder does not exist, or `scan` reports problems.
    """
    drops, problems = scan(root, first_as_of)
    if problems:
        raise UsageError(
            f"Not every drop in '{shown_path(root)}' has a date.",
            details=tuple(problems),
            hint="Rename or remove these folders.",
        )
    return drops


def scan(root: Path, first_as_of: date = FIRST_AS_OF) -> tuple[list[tuple[date, Path]], list[str]]:
    """List the drops below `root` with their as-of dates, oldest first.

    A drop's folder is named exactly after its date (2024-01-31) or by its number of months after `first_as_of`
    (month_000). Folders with names unlike a date are ignored.

    Args:
        root: Folder that contains the drops' folders.
        first_as_of: As-of of `month_000`; if it is the last day of its month, so are the following ones.

    Returns:
        The drops; and a message for each folder that is named almost like a date, is a symbolic link, or has
        the date of another folder.

    Raises:
        UsageError: The folder does not exist or cannot be read.
    """
    found: dict[date, list[Path]] = {}
    problems = []
    for name, is_link in _folders(root):
        when = date_of(name, first_as_of)
        if when is None and not _resembles_a_date(name):
            continue
        if when is None:
            problems.append(
                f"{shown(name)}: this is not the date of a drop; rename the folder exactly like 2024-01-31."
            )
        elif is_link:
            problems.append(f"{shown(name)}: this is a symbolic link; put the folder itself into the inbox.")
        else:
            found.setdefault(when, []).append(root / name)
    for when, folders in found.items():
        if len(folders) > 1:
            problems.append(
                f"{shown_names([folder.name for folder in folders])}: all of these are the drop of {when}; keep"
                " one of them, or ingest each with --as-of."
            )
    return sorted((when, folders[0]) for when, folders in found.items() if len(folders) == 1), problems


def _folders(root: Path) -> list[tuple[str, bool]]:
    """List the names of the folders and symbolic links below `root`, and which of them are links."""
    try:
        with os.scandir(root) as entries:
            kinds = [
                (entry.name, stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)) for entry in entries
            ]
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"There is no folder '{shown_path(root)}'.", hint="Name the folder that holds the drops' folders."
        ) from None
    except OSError as error:
        raise UsageError(
            f"The folder '{shown_path(root)}' cannot be read: {error.strerror}.",
            hint="Check who may read it.",
        ) from error
    return sorted(
        (name, kind == stat.S_IFLNK) for name, kind in kinds if kind in {stat.S_IFDIR, stat.S_IFLNK}
    )


def _resembles_a_date(name: str) -> bool:
    """Whether a name that is not exactly a date was meant as one: 2024-3-31, 31.03.2024, 20240331, month_3."""
    if name.startswith((".", "_")):
        # Names of hidden folders, and of folders that are being written.
        return False
    if _LIKE_A_MONTH.fullmatch(name):
        return True
    numbers = re.findall(r"\d+", name)
    return _LIKE_A_DATE.fullmatch(name) is not None and (len(numbers) > 1 or len("".join(numbers)) >= 6)


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


def located(folder: Path) -> Path:
    """Resolve the links in the path of a drop that a user named; within the drop, none is followed."""
    return Path(os.path.realpath(folder))


def as_of(folder: Path) -> date:
    """Read the as-of of a drop from its folder's name.

    Raises:
        UsageError: The folder's name is not exactly a date.
    """
    name = located(folder).name
    when = _dated(name)
    if when is None:
        raise UsageError(
            f"The folder's name, '{shown(name)}', is not the date of the drop.",
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

    Raises:
        FileError: The folder holds too many files.
        OSError: The folder cannot be read, or is a symbolic link.
    """
    while not _marked(names(folder)):
        left = QUIET_SECONDS - (time.time() - _last_change(folder))
        if left <= 0:
            return True
        # This is also where a modification time in the future ends up; waiting for it could take forever.
        if left > patience:
            return False
        pause(left)
        patience -= left
    return False


def _marked(files: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, marker) for name in files for marker in MARKERS)


def _last_change(folder: Path) -> float:
    """Return the newest modification time of the folder and its files, in Unix seconds."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *(folder / name for name in names(folder))))
    except FileNotFoundError:
        # A file was removed or renamed since the folder was listed.
        return time.time()


def _dated(name: str) -> date | None:
    if not _DATE.fullmatch(name):
        return None
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def fetch(
    url: str, folder: Path, known: Collection[date], pause: Callable[[float], None] = time.sleep
) -> tuple[str, ...]:
    """Copy the CSV and checksum files of the complete drops below an object-store URL to a local folder.

    If any object changed within the last `QUIET_SECONDS`, waits that long and skips drops that changed
    meanwhile: they are still being uploaded, and the next run takes them. Folders whose names `scan` reports are
    made too, without files.

    Args:
        url: URL of the folder that contains the drops' folders.
        folder: Local folder to copy to.
        known: As-of dates to skip.
        pause: Sleeps for a number of seconds; tests replace it.

    Returns:
        Names of the folders made.

    Raises:
        UsageError: The URL does not name an object store.
        DependencyDown: The store does not answer, or denies access.
    """
    try:
        store, root = fs.FileSystem.from_uri(url)
        drops = _complete(store, root, known, pause)
        for name, files in drops.items():
            drop = folder / _file_name(name)
            drop.mkdir(parents=True)
            for path, (_, changed) in files.items():
                file = PurePosixPath(path).name
                if file != CHECKSUMS and PurePosixPath(file).suffix.lower() != ".csv":
                    continue
                target = drop / _file_name(file, ".csv")
                _copy(store, path, target)
                # `is_complete` reads these times; a fresh copy would look like an upload in progress.
                os.utime(target, ns=(changed, changed))
            newest = max((changed for _, changed in files.values()), default=0)
            os.utime(drop, ns=(newest, newest))
    except ValueError as error:
        raise UsageError(
            f"The inbox {url} is not the URL of an object store: {error}",
            hint="Correct STREAMFLOW_INGEST__INBOX, for example s3://bucket/drops.",
        ) from error
    except OSError as error:
        raise DependencyDown(
            f"The inbox {url} cannot be read: {shown(str(error), limits.SHOWN_REASON_CHARACTERS)}",
            hint="Check STREAMFLOW_INGEST__INBOX, and the credentials in the job's environment.",
        ) from error
    return tuple(drops)


def _complete(store: Any, root: str, known: Collection[date], pause: Callable[[float], None]) -> Listing:
    drops = listing(store, root, known)
    newest = max((changed for files in drops.values() for _, changed in files.values()), default=0)
    if time.time() - newest / 1e9 < QUIET_SECONDS:
        pause(QUIET_SECONDS)
        again = listing(store, root, known)
        drops = {name: files for name, files in drops.items() if again.get(name) == files}
    return {
        name: files
        for name, files in drops.items()
        if not _marked(PurePosixPath(path).name for path in files)
    }


def _file_name(name: str, suffix: str = "") -> str:
    """Return a name for the local copy of an object or folder: its own, unless no file can have that name."""
    if "\0" in name or len(os.fsencode(name)) > _LONGEST_NAME:
        return name.replace("\0", "_")[:_SHORT_NAME] + suffix
    return name


def listing(store: Any, root: str, known: Collection[date]) -> Listing:
    """List the files of each drop below `root`, ignoring folders within a drop; none if its name is bad.

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
        if when is None and _resembles_a_date(parts[0]):
            found[parts[0]] = {}
        elif when is not None and when not in known:
            found.setdefault(parts[0], {})[item.path] = (item.size, item.mtime_ns or 0)
    return found


def _copy(store: Any, path: str, target: Path) -> None:
    with store.open_input_stream(path) as source, target.open("wb") as copy:
        while part := source.read(_COPY_BYTES):
            copy.write(part)

"""Copy complete drops from an object store to a local folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from streamflow.drops import limits
from streamflow.drops.complete import QUIET_SECONDS, marked
from streamflow.drops.dates import date_of, resembles_a_date
from streamflow.drops.files import CHECKSUMS
from streamflow.drops.quoting import shown
from streamflow.errors import DependencyDown, UsageError

_LONGEST_NAME, _SHORT_NAME = 255, 60
_COPY_BYTES = 1 << 20

Listing = dict[str, dict[str, tuple[int, int]]]
"""Size in bytes and modification time in nanoseconds of each path, by name of the drop's folder."""


def fetch(
    url: str, folder: Path, known: Collection[date], pause: Callable[[float], None] = time.sleep
) -> tuple[str, ...]:
    """Copy the CSV and checksum files of the complete drops below an object-store URL to a local folder.

    If any object changed within the last `QUIET_SECONDS`, waits that long and skips drops that changed
    meanwhile: they are still being uploaded, and the next run takes them. Folders whose names `inbox.scan` reports are
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
                # `complete.is_complete` reads these times; a fresh copy would look like an upload in progress.
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
        name: files for name, files in drops.items() if not marked(PurePosixPath(path).name for path in files)
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
        if when is None and resembles_a_date(parts[0]):
            found[parts[0]] = {}
        elif when is not None and when not in known:
            found.setdefault(parts[0], {})[item.path] = (item.size, item.mtime_ns or 0)
    return found


def _copy(store: Any, path: str, target: Path) -> None:
    with store.open_input_stream(path) as source, target.open("wb") as copy:
        while part := source.read(_COPY_BYTES):
            copy.write(part)

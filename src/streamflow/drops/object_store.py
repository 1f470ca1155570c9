"""Take the new drops out of the inbox: a folder, or an object store."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Collection
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from streamflow.drops.inbox import QUIET_SECONDS, date_of, ingest_all, taken
from streamflow.drops.load import IngestOutcome
from streamflow.errors import DependencyDown, UsageError
from streamflow.settings import Settings

_COPY_BYTES = 1 << 20

Listing = dict[str, dict[str, tuple[int, int]]]
"""Size in bytes and time of the last change in nanoseconds, by path in the store, by name of the drop's folder."""


def take_all(settings: Settings) -> list[IngestOutcome]:
    """Ingest every drop of the inbox that has not been taken, oldest first.

    Raises:
        DependencyDown: the object store does not answer.
        DropRefused: a drop cannot be taken; the others were.
    """
    inbox = settings.ingest.inbox
    if "://" not in inbox:
        return ingest_all(settings, Path(inbox), loaded_by="job ingest")
    with tempfile.TemporaryDirectory() as folder:
        fetch(inbox, Path(folder), taken(settings))
        return ingest_all(settings, Path(folder), loaded_by="job ingest")


def fetch(
    url: str, folder: Path, known: Collection[date], pause: Callable[[float], None] = time.sleep
) -> tuple[str, ...]:
    """Copy the drops below an object-store URL into `folder`.

    A drop that is still being uploaded is left for the next time: one that changed a moment ago must look the same
    after `QUIET_SECONDS`.

    Args:
        known: Dates that need not be copied.
        pause: Waits for seconds.

    Returns:
        Names of the folders that were copied.

    Raises:
        UsageError: the URL is of no object store.
        DependencyDown: the store does not answer, or does not let us in.
    """
    try:
        store, root = fs.FileSystem.from_uri(url)
        drops = listing(store, root, known)
        if any(
            time.time() - changed / 1e9 < QUIET_SECONDS
            for files in drops.values()
            for _, changed in files.values()
        ):
            pause(QUIET_SECONDS)
            again = listing(store, root, known)
            drops = {name: files for name, files in drops.items() if again.get(name) == files}
        for name, files in drops.items():
            for path, (_, changed) in files.items():
                target = folder / name / PurePosixPath(path).name
                _copy(store, path, target)
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


def listing(store: Any, root: str, known: Collection[date]) -> Listing:
    """The files of every drop below `root` whose date is not known; folders in folders are no part of a drop.

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

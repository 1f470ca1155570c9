"""Open the lake: a folder, or a part of an object store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from streamflow import disk_full
from streamflow.errors import DependencyDown, UsageError

SHOWN_CHARACTERS = 300
"""Characters of an object store's own words that an error repeats at most."""


@dataclass(frozen=True)
class Place:
    """An opened lake.

    Attributes:
        url: Folder or object store URL, as the settings name it.
        store: pyarrow's file system.
        root: Path of the lake in the file system.
    """

    url: str
    store: Any
    root: str

    @property
    def is_local(self) -> bool:
        """Whether the lake is a folder."""
        return isinstance(self.store, fs.LocalFileSystem)


def opened(url: str) -> Place:
    """Open a lake, which need not exist yet. Nothing is read or written.

    Raises:
        UsageError: The URL is that of no folder and of no object store.
    """
    if "://" not in url:
        return Place(url, fs.LocalFileSystem(), str(Path(url).absolute()))
    try:
        store, root = fs.FileSystem.from_uri(url)
    except (ValueError, OSError) as error:
        raise UsageError(
            f"The lake {url} is neither a folder nor the URL of an object store: {error}",
            hint="Correct STREAMFLOW_LAKE__URL, for example s3://bucket/lake.",
        ) from error
    return Place(url, store, root)


@contextlib.contextmanager
def failures(place: Place) -> Iterator[None]:
    """Translate the errors of the folder or object store.

    Raises:
        DiskFull: There is no room.
        DependencyDown: It cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        if full := disk_full.behind(error):
            raise full from error
        raise DependencyDown(
            f"The lake {place.url} cannot be used: {str(error)[:SHOWN_CHARACTERS]}",
            hint="Check STREAMFLOW_LAKE__URL, and the rights of this process or its credentials for the object store.",
        ) from error


def synced(place: Place, path: str) -> None:
    """Have a written file, or the names in a folder, survive a crash of the machine. An object store does by itself."""
    if place.is_local:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

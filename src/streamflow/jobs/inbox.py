"""Take the new drops out of the inbox: a folder, or an object store."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pyarrow import fs

from streamflow.drops.load import IngestOutcome
from streamflow.errors import DependencyDown
from streamflow.jobs.ingest import ingest_all
from streamflow.settings import Settings

_COPY_BYTES = 1 << 20


def take_all(settings: Settings) -> list[IngestOutcome]:
    """Ingest every drop of the inbox that has not been taken, oldest first.

    Raises:
        DependencyDown: the object store does not answer.
        DropRefused: a drop cannot be taken; those before it were.
    """
    inbox = settings.ingest.inbox
    if "://" not in inbox:
        return ingest_all(settings, Path(inbox), loaded_by="job ingest")
    with tempfile.TemporaryDirectory() as folder:
        fetch(inbox, Path(folder))
        return ingest_all(settings, Path(folder), loaded_by="job ingest")


def fetch(url: str, folder: Path) -> int:
    """Copy every `DATE/FILE` below an object-store URL into `folder`; returns the number of files.

    Raises:
        DependencyDown: the store does not answer, or does not let us in.
    """
    try:
        store, root = fs.FileSystem.from_uri(url)
        files = [
            item
            for item in store.get_file_info(fs.FileSelector(root, recursive=True))
            if item.type == fs.FileType.File
        ]
        for item in files:
            target = folder / item.path.removeprefix(root).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with store.open_input_stream(item.path) as source, target.open("wb") as copy:
                while part := source.read(_COPY_BYTES):
                    copy.write(part)
            # The rule for drops that are still being written looks at the time of the last change.
            if item.mtime_ns:
                _set_time(target, item.mtime_ns)
    except OSError as error:
        raise DependencyDown(
            f"The inbox {url} cannot be read: {str(error).splitlines()[0]}",
            hint="Check STREAMFLOW_INGEST__INBOX, and the credentials in the job's environment.",
        ) from error
    return len(files)


def _set_time(path: Path, nanoseconds: int) -> None:
    import os

    os.utime(path, ns=(nanoseconds, nanoseconds))

"""Copy complete drops from an object store to a local folder; what backups in one need too."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from streamflow.drops import limits
from streamflow.drops.complete import QUIET_SECONDS, marked
from streamflow.drops.dates import date_of, resembles_a_date
from streamflow.drops.files import CHECKSUMS, too_large
from streamflow.drops.quoting import shown
from streamflow.drops.raw_file import FileError, too_many
from streamflow.errors import DependencyDown, UsageError
from streamflow.settings import IngestSettings

_LONGEST_NAME, _SHORT_NAME = 255, 60
_COPY_BYTES = 1 << 20

Listing = dict[str, dict[str, tuple[int, int]]]
"""Size in bytes and modification time in nanoseconds of each path, by name of the drop's folder."""


class RemoteDrops:
    """The complete drops of an inbox in an object store, of which one at a time is copied to a local folder.

    A drop with a file that is too large, or with more bytes than fit, is refused by its listed sizes before anything
    is copied, and no object is read beyond its listed size.
    """

    def __init__(
        self,
        rules: IngestSettings,
        root: Path,
        known: Collection[date],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """List the drops, and make an empty folder for each and for those whose names `inbox.scan` reports.

        If any object changed within the last `QUIET_SECONDS`, waits that long and skips drops that changed
        meanwhile: they are still being uploaded, and the next run takes them.

        Args:
            rules: URL of the folder that contains the drops' folders, and limits on sizes.
            root: Local folder to copy to.
            known: As-of dates to skip.
            pause: Sleeps for a number of seconds; tests replace it.

        Raises:
            UsageError: The URL does not name an object store.
            DependencyDown: The store does not answer, or denies access.
        """
        self._rules = rules
        with self._failures():
            self._store, path = fs.FileSystem.from_uri(rules.inbox)
            drops = _complete(self._store, path, known, pause)
        self._drops = {_file_name(name): files for name, files in drops.items()}
        for name in self._drops:
            (root / name).mkdir(parents=True)

    @contextlib.contextmanager
    def copied(self, folder: Path) -> Iterator[None]:
        """Have the CSV and checksum files of a drop in its local folder, until the end of the `with` block.

        Raises:
            FileError: The drop is too large, or changed while it was copied.
            DependencyDown: The store does not answer, or denies access.
        """
        files = self._drops[folder.name]
        wanted = {path: size for path, (size, _) in files.items() if _is_wanted(PurePosixPath(path))}
        self._require_sizes(wanted)
        try:
            for path, size in wanted.items():
                name = PurePosixPath(path).name
                target = folder / _file_name(name, ".csv")
                with self._failures():
                    copied = copy(self._store, path, target, size + 1)
                if copied != size:
                    raise FileError(
                        f"holds {shown(name)}, which had {size:,} bytes when it was listed and changed while it was"
                        " copied; the next run takes the drop if it is complete."
                    )
                # `complete.is_complete` reads these times; a fresh copy would look like an upload in progress.
                os.utime(target, ns=(files[path][1],) * 2)
            newest = max((changed for _, changed in files.values()), default=0)
            os.utime(folder, ns=(newest, newest))
            yield
        finally:
            # The next drop needs the room.
            shutil.rmtree(folder, ignore_errors=True)

    def _require_sizes(self, wanted: dict[str, int]) -> None:
        if len(wanted) > limits.ENTRIES:
            raise FileError(too_many())
        for path, size in wanted.items():
            if size > self._rules.max_file_bytes:
                reason = too_large(size, self._rules.max_file_bytes)
                raise FileError(f"holds {shown(PurePosixPath(path).name)}, which {reason}")
        total, most = sum(wanted.values()), self._rules.max_fetch_bytes
        if total > most:
            largest = max(wanted, key=lambda path: wanted[path])
            raise FileError(
                f"has {total:,} bytes, {wanted[largest]:,} of them in {shown(PurePosixPath(largest).name)}: more than"
                f" the {most:,} allowed by STREAMFLOW_INGEST__MAX_FETCH_BYTES. Check that these are the right files,"
                " or raise the setting and the size of the job's temporary folder."
            )

    def _failures(self) -> contextlib.AbstractContextManager[None]:
        return failures("inbox", self._rules.inbox, "STREAMFLOW_INGEST__INBOX", "s3://bucket/drops")


@contextlib.contextmanager
def failures(what: str, url: str, setting: str, example: str) -> Iterator[None]:
    """Translate the errors of an object store.

    Args:
        what: What is in the store, in one word.
        url: Its URL.
        setting: Variable with that URL.
        example: A URL that would be right.

    Raises:
        UsageError: The URL does not name an object store.
        DependencyDown: The store does not answer, or denies access.
    """
    try:
        yield
    except ValueError as error:
        raise UsageError(
            f"The {what} {url} is not the URL of an object store: {error}",
            hint=f"Correct {setting}, for example {example}.",
        ) from error
    except OSError as error:
        raise DependencyDown(
            f"The {what} {url} cannot be used: {shown(str(error), limits.SHOWN_REASON_CHARACTERS)}",
            hint=f"Check {setting}, and the credentials in the job's environment.",
        ) from error


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
            files = found.setdefault(parts[0], {})
            # Objects `users.csv` and `users.csv/` are listed with the same path.
            files[item.path] = max(files.get(item.path, (0, 0)), (item.size, item.mtime_ns or 0))
    return found


def _is_wanted(path: PurePosixPath) -> bool:
    return path.name == CHECKSUMS or path.suffix.lower() == ".csv"


def copy(store: Any, path: str, target: Path, most: int) -> int:
    """Copy the first bytes of an object, `most` of them if it has so many, and return their number."""
    count = 0
    with store.open_input_stream(path) as source, target.open("wb") as file:
        while part := source.read(min(_COPY_BYTES, most - count)):
            count += file.write(part)
    return count

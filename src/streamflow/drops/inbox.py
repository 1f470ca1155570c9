"""The inbox: open it wherever it is, and list the drops in its folder."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlsplit

from streamflow.drops.dates import FIRST_AS_OF, date_of, exact_date, resembles_a_date
from streamflow.drops.object_store import RemoteDrops
from streamflow.drops.quoting import shown, shown_names, shown_path
from streamflow.errors import UsageError
from streamflow.settings import IngestSettings

Provided = Callable[[Path], AbstractContextManager[object]]
"""Has the files of a drop in its folder while it is entered."""


@contextlib.contextmanager
def opened(rules: IngestSettings, known: Collection[date]) -> Iterator[tuple[Path, Provided]]:
    """Open the inbox as a local folder; that of an object store is a temporary one.

    Args:
        rules: Where the inbox is, and limits on what is copied from an object store.
        known: As-of dates of an object store to skip.

    Yields:
        The folder that contains the drops' folders; and what puts the files of a drop into its folder, while it is
        entered.

    Raises:
        UsageError: The URL does not name an object store.
        DependencyDown: The object store does not answer, or denies access.
    """
    inbox = rules.inbox
    if "://" not in inbox:
        yield Path(inbox), contextlib.nullcontext
        return
    if inbox.startswith("file:"):
        # The general way would copy what links point to; a local folder's files are opened without following.
        yield Path(unquote(urlsplit(inbox).path)), contextlib.nullcontext
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), RemoteDrops(rules, Path(folder), known).copied


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
        if when is None and not resembles_a_date(name):
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


def located(folder: Path) -> Path:
    """Resolve the links in the path of a drop that a user named; within the drop, none is followed."""
    return Path(os.path.realpath(folder))


def as_of(folder: Path) -> date:
    """Read the as-of of a drop from its folder's name.

    Raises:
        UsageError: The folder's name is not exactly a date.
    """
    name = located(folder).name
    when = exact_date(name)
    if when is None:
        raise UsageError(
            f"The folder's name, '{shown(name)}', is not the date of the drop.",
            hint="Say when: --as-of 2024-01-31.",
        )
    return when

"""Keep backups in an object store too: copy each there, fetch one for a restore, delete the oldest.

A backup is a folder whose manifest is written last, here as on a disk, so that an upload or a fetch that was cut short is
no backup. The manifest has the digest of every file, which a restore checks.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from streamflow.backup import dump as dumps
from streamflow.backup.backup import outdated
from streamflow.drops.object_store import copy, failures
from streamflow.erasure import listed
from streamflow.errors import NotFound, Refused
from streamflow.postgres.backup_results import BackupResult
from streamflow.settings import BackupSettings

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}\.\d{6}Z", re.ASCII)
_ABANDONED = timedelta(days=2)
"""Age from which a folder without a manifest is no upload that is still running."""
_COPY_BYTES = 8 << 20
_MANIFEST_BYTES = 64 << 20
_DIGEST_BYTES = 1 << 10
_LIST_BYTES = 64 << 20
_FILE = re.compile(r"\w[\w.-]*")


def uploaded(settings: BackupSettings, done: BackupResult) -> BackupResult:
    """Copy a backup that was just made to the object store, if there is one, and delete the oldest there.

    Args:
        settings: URL of the store, and the number of backups to keep there.
        done: The backup; the local one stays whatever happens.

    Returns:
        The result, with the URL of the copy.

    Raises:
        UsageError: The URL does not name an object store.
        DependencyDown: The store does not answer, or denies access; nothing was deleted there.
    """
    if not settings.url:
        return done
    with _opened(settings) as (store, root):
        target = f"{root}/{done.folder.name}"
        _copy_list(store, root, settings.folder)
        for path in _manifest_last(list(done.folder.iterdir())):
            with path.open("rb") as source, store.open_output_stream(f"{target}/{path.name}") as copied:
                shutil.copyfileobj(source, copied, _COPY_BYTES)
        complete, incomplete = _listed(store, root)
        for name in (*outdated(complete, settings.keep), *_abandoned(incomplete, datetime.now(UTC))):
            # The manifest first: what a deletion that is cut short leaves is no backup.
            with contextlib.suppress(FileNotFoundError):
                store.delete_file(f"{root}/{name}/{dumps.MANIFEST}")
            store.delete_dir(f"{root}/{name}")
    return replace(done, url=f"{settings.url.rstrip('/')}/{done.folder.name}")


def fetched(settings: BackupSettings, folder: Path | None) -> Path | None:
    """Return the backup to restore, copied from the object store unless the local folder has it.

    Args:
        settings: URL of the store, and the local folder of backups.
        folder: Folder or name of a backup; None for the newest one, here or there.

    Returns:
        The folder; None for the newest one in the local folder.

    Raises:
        UsageError: The URL does not name an object store.
        NotFound: The store has no backup of this name.
        Refused: A file differs from the manifest, and the copy was removed; or the list of erasures is unreadable.
        DependencyDown: The store does not answer, or denies access.
    """
    if not settings.url:
        return folder
    if folder is not None and (folder.exists() or not _NAME.fullmatch(str(folder))):
        with _opened(settings) as (store, root):
            _fetch_list(store, root, settings.folder)
        return folder
    with _opened(settings) as (store, root):
        _fetch_list(store, root, settings.folder)
        there = _listed(store, root)[0]
        here = [path.parent.name for path in settings.folder.glob(f"*/{dumps.MANIFEST}")]
        name = folder.name if folder is not None else max([*there, *here], default="")
        if name in here:
            return settings.folder / name
        if name not in there:
            raise NotFound(
                f"There is no backup {name or 'yet'} in {settings.url}.",
                hint="Check STREAMFLOW_BACKUP__URL; a backup without manifest.json was cut short.",
            )
        return _fetch(store, f"{root}/{name}", settings.folder / name)


def copy_list(settings: BackupSettings) -> None:
    """Copy the list of erasures to the object store, if there is one.

    Raises:
        UsageError: The URL does not name an object store.
        Refused: The list there is unreadable.
        DependencyDown: The store does not answer, or denies access.
    """
    if settings.url:
        with _opened(settings) as (store, root):
            _copy_list(store, root, settings.folder)


def _copy_list(store: Any, root: str, folder: Path) -> None:
    """Copy the list of erasures to the store, with what the store has of it: nothing is ever taken off it."""
    _fetch_list(store, root, folder)
    path = folder / listed.FILE
    if path.is_file():
        with path.open("rb") as source, store.open_output_stream(f"{root}/{listed.FILE}") as copied:
            shutil.copyfileobj(source, copied, _COPY_BYTES)


def _fetch_list(store: Any, root: str, folder: Path) -> None:
    """Add the store's list of erasures to the one beside the local backups, which a restore applies."""
    try:
        with store.open_input_stream(f"{root}/{listed.FILE}") as stream:
            content = stream.read(_LIST_BYTES)
    except FileNotFoundError:
        return
    acts = _json(content)
    if not isinstance(acts, list) or not all(
        isinstance(act, dict) and {"erasure_id", "recorded_at", "action"} <= act.keys() for act in acts
    ):
        raise Refused(
            f"The list of erasures {listed.FILE} in the object store cannot be read.",
            hint="Put back a copy of it: without it, a restore could bring erased people back.",
        )
    listed.write(folder, acts)


def _fetch(store: Any, source: str, target: Path) -> Path:
    """Copy the files that the manifest of a backup lists, and then the manifest itself, and check them."""
    # What an earlier fetch left behind has no manifest.
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, mode=0o700)
    try:
        with store.open_input_stream(f"{source}/{dumps.MANIFEST}") as stream:
            manifest = stream.read(_MANIFEST_BYTES)
        # Nothing else in the folder is copied, and no file beyond its listed size: whoever may write to the store could
        # fill the disk otherwise.
        for name, size in sorted({*_files_of(_json(manifest)), (dumps.DIGEST, _DIGEST_BYTES)}):
            # The check reports a file that is missing.
            with contextlib.suppress(FileNotFoundError):
                copy(store, f"{source}/{name}", target / name, size)
                (target / name).chmod(0o600)
        _write_private(target / dumps.MANIFEST, manifest)
        dumps.read(target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def _files_of(document: Any) -> set[tuple[str, int]]:
    """Name and size of every file that a manifest describes; only names without a path."""
    if isinstance(document, list):
        return {item for part in document for item in _files_of(part)}
    if not isinstance(document, dict):
        return set()
    name, size = document.get("file"), document.get("bytes")
    if isinstance(name, str) and isinstance(size, int) and _FILE.fullmatch(name):
        return {(name, size)}
    return {item for part in document.values() for item in _files_of(part)}


def _json(content: bytes) -> Any:
    """The manifest's document; None if it cannot be read, which the check of the backup then reports."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _manifest_last(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (path.name == dumps.MANIFEST, path.name))


def _listed(store: Any, root: str) -> tuple[list[str], list[str]]:
    """Names of the backups in the store, and of the folders of backups that have no manifest."""
    files: dict[str, set[str]] = {}
    selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
    for item in store.get_file_info(selector):
        parts = PurePosixPath(item.path).relative_to(PurePosixPath(root)).parts
        # Nothing else that lies in the store is read or deleted.
        if item.type == fs.FileType.File and len(parts) == 2 and _NAME.fullmatch(parts[0]):
            files.setdefault(parts[0], set()).add(parts[1])
    complete = [name for name, names in files.items() if dumps.MANIFEST in names]
    return sorted(complete), sorted(files.keys() - set(complete))


def _abandoned(names: list[str], now: datetime) -> list[str]:
    oldest = (now - _ABANDONED).strftime("%Y-%m-%dT%H%M%S.%fZ")
    return [name for name in names if name < oldest]


@contextlib.contextmanager
def _opened(settings: BackupSettings) -> Iterator[tuple[Any, str]]:
    """The store and the path of the backups in it."""
    with _failures(settings):
        store, root = fs.FileSystem.from_uri(settings.url)
        yield store, root.rstrip("/")


def _failures(settings: BackupSettings) -> AbstractContextManager[None]:
    return failures("backup folder", settings.url, "STREAMFLOW_BACKUP__URL", "s3://bucket/backups")

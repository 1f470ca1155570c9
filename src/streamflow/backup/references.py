"""Check that a backup has what the ledger refers to: versions and runs in MLflow, their files, stored releases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.backup.archive import Packed, path_of
from streamflow.errors import StreamFlowError
from streamflow.mlflow_api.transport import tags_of
from streamflow.model_version import files, tags
from streamflow.postgres import catalog, statements

_SQL = statements.load(Path(__file__).with_name("references.sql"))
_MLFLOW_SQL = statements.load(Path(__file__).with_name("mlflow.sql"))


@dataclass(frozen=True)
class Needed:
    """A version that the ledger refers to.

    Attributes:
        version: Its number.
        row: Newest row of the ledger about it.
        run_id: Run that made it; "" if the ledger does not say.
        manifest_sha256: Digest that pins its files; "" if the ledger does not say.
        aliases: Aliases that stand for it; "" if only its release is stored.
    """

    version: int
    row: int
    run_id: str
    manifest_sha256: str
    aliases: str


@dataclass(frozen=True)
class Ledger:
    """What the ledger refers to.

    Attributes:
        needed: The versions that have to be in MLflow.
        trained: Digests of the models that were trained here.
        problems: What is wrong with the stored releases.
    """

    needed: tuple[Needed, ...] = ()
    trained: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Version:
    """A version, as MLflow knows it.

    Attributes:
        version: Its number.
        run_id: Run that made it.
        source: URI of its files.
        deleted: Whether somebody deleted it in MLflow, which keeps its number.
        manifest_sha256: Its tag with the digest that pins its files; "" without one.
    """

    version: int
    run_id: str
    source: str
    deleted: bool
    manifest_sha256: str


@dataclass(frozen=True)
class Registry:
    """What is in MLflow.

    Attributes:
        versions: Versions of the model.
        runs: Runs that it has, of those that the ledger names; None if they were not looked up.
    """

    versions: tuple[Version, ...]
    runs: frozenset[str] | None


@dataclass(frozen=True)
class Checked:
    """Result of `check`.

    Attributes:
        deleted: Versions that the ledger refers to and that were deleted in MLflow.
        unchecked: Versions whose files no digest of the ledger pins, and those that were excepted.
    """

    deleted: tuple[int, ...]
    unchecked: tuple[int, ...]


def read_ledger(connection: sa.Connection, model: str) -> Ledger:
    """Read what the ledger refers to, and check the stored releases.

    Args:
        connection: Connection with the snapshot of the platform's database.
        model: Registered model.
    """
    if not catalog.exists(connection, "streamflow.releases"):
        return Ledger()
    values = {"model": model}
    needed = connection.execute(sa.text(_SQL["needed"]), values)
    trained = connection.execute(sa.text(_SQL["trained"]), values).scalars()
    return Ledger(
        tuple(Needed(*row) for row in needed), frozenset(trained), tuple(_check_releases(connection))
    )


def _check_releases(connection: sa.Connection) -> list[str]:
    """What is wrong with the files of releases in PostgreSQL, one sentence a release."""
    sizes = {row[0]: int(row[1]) for row in connection.execute(sa.text(_SQL["releases"]))}
    found: dict[str, _Stored] = {digest: _Stored() for digest in sizes}
    # A server-side cursor: the releases together may be larger than the memory.
    streamed = {"stream_results": True, "max_row_buffer": 8}
    pieces = connection.execute(sa.text(_SQL["pieces"]), execution_options=streamed)
    for digest, file, piece, content in pieces:
        found[digest].add(file, piece, bytes(content))
    return [
        f"The stored release {digest} is damaged: {problem}."
        for digest, stored in found.items()
        if (problem := stored.problem(digest, sizes[digest]))
    ]


class _Stored:
    """The files of a stored release, of which only the manifest is kept in memory."""

    def __init__(self) -> None:
        self._digests: dict[str, Any] = {}
        self._next: dict[str, int] = {}
        self._manifest = b""
        self._size = 0
        self._gap = ""

    def add(self, file: str, piece: int, content: bytes) -> None:
        """Add the next piece of a file."""
        if piece != self._next.get(file, 0):
            self._gap = self._gap or f"{file} lacks a piece before piece {piece}"
        self._next[file] = piece + 1
        self._digests.setdefault(file, hashlib.sha256()).update(content)
        self._size += len(content)
        if file == files.MANIFEST:
            self._manifest += content

    def problem(self, digest: str, size: int) -> str:
        """What is wrong; "" if nothing is."""
        if self._gap:
            return self._gap
        if missing := [name for name in files.SERVED if name not in self._digests]:
            return f"{', '.join(missing)} is missing"
        if self._digests[files.MANIFEST].hexdigest() != digest:
            return f"{files.MANIFEST} has changed"
        pinned = pinned_files(self._manifest)
        for name in files.SERVED:
            if name != files.MANIFEST and self._digests[name].hexdigest() != pinned.get(name):
                return f"{name} has changed"
        return "" if self._size == size else f"it has {self._size} bytes, not {size}"


def read_registry(connection: sa.Connection, model: str, ledger: Ledger) -> Registry:
    """Read MLflow's versions of a model.

    Args:
        connection: Connection with the snapshot of MLflow's database.
        model: Registered model.
        ledger: What the ledger refers to.
    """
    if not catalog.exists(connection, "public.model_versions"):
        return Registry((), frozenset())
    found = connection.execute(
        sa.text(_MLFLOW_SQL["versions"]), {"model": model, "tag": tags.MANIFEST_SHA256}
    )
    versions = tuple(Version(*row) for row in found)
    wanted = sorted({item.run_id for item in ledger.needed if item.run_id})
    runs = connection.execute(sa.text(_MLFLOW_SQL["runs"]), {"runs": wanted}).scalars()
    return Registry(versions, frozenset(runs))


def from_api(versions: Sequence[Mapping[str, Any]]) -> Registry:
    """MLflow's versions of a model, from the JSON of its API, if its database is not on this server. Pure."""
    return Registry(
        tuple(
            Version(
                int(item["version"]),
                str(item.get("run_id", "")),
                str(item.get("source", "")),
                False,
                tags_of(item).get(tags.MANIFEST_SHA256, ""),
            )
            for item in versions
        ),
        None,
    )


def pinned_files(manifest: bytes) -> dict[str, str]:
    """SHA-256 of each file that a manifest names; empty if it cannot be read. Pure."""
    try:
        return {str(name): str(digest) for name, digest in json.loads(manifest)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def check(
    ledger: Ledger, registry: Registry | None, packed: Packed | None, excepted: Collection[int]
) -> Checked:
    """Check every reference. Pure.

    Args:
        ledger: What the ledger refers to.
        registry: What is in MLflow; None if the backup has nothing of MLflow.
        packed: The packed files; None if the backup has none.
        excepted: Versions that are known to be lost, and are not checked.

    Raises:
        StreamFlowError: Something is missing or has changed; `details` names each row, version and file.
    """
    problems = list(ledger.problems)
    deleted: set[int] = set()
    unchecked: set[int] = set()
    if registry is not None:
        there = {version.version: version for version in registry.versions}
        needed = {item.version: item for item in ledger.needed}
        deleted = {number for number in needed if number in there and there[number].deleted}
        unchecked = set(excepted) & (set(there) | set(needed))
        for item in ledger.needed:
            if item.version not in deleted | unchecked:
                problems += _missing_in_mlflow(item, there.get(item.version), registry.runs)
        if packed is not None:
            for number in set(packed.versions) - unchecked:
                digest = _pinned_by(ledger, needed.get(number), there[number])
                if digest:
                    problems += _missing_files(there[number], digest, packed)
                else:
                    unchecked.add(number)
    if problems:
        raise StreamFlowError(
            "The backup would not be complete, so it was not made. No older backup was deleted.",
            details=tuple(problems),
            hint="Restore what is missing from an older backup, or delete the version in MLflow. If a version is lost"
            " for good, name it in STREAMFLOW_BACKUP__EXCEPT_VERSIONS.",
        )
    return Checked(tuple(sorted(deleted)), tuple(sorted(unchecked)))


def _missing_in_mlflow(item: Needed, version: Version | None, runs: frozenset[str] | None) -> list[str]:
    role = f"stands at {item.aliases}" if item.aliases else "has a stored release"
    what = f"Version {item.version}, which {role} by row {item.row} of the ledger"
    if version is None:
        return [f"{what}, is not in MLflow."]
    if item.manifest_sha256 and version.manifest_sha256 != item.manifest_sha256:
        return [f"{what}, is another one in MLflow: its manifest is not {item.manifest_sha256}."]
    if runs is not None and item.run_id and item.run_id not in runs:
        return [f"{what}: its run {item.run_id} is not in MLflow."]
    return []


def _pinned_by(ledger: Ledger, item: Needed | None, version: Version) -> str:
    """The digest that pins a version's files: the ledger's, else its tag if a training here made it; else ""."""
    if item is not None and item.manifest_sha256:
        return item.manifest_sha256
    return version.manifest_sha256 if version.manifest_sha256 in ledger.trained else ""


def _missing_files(version: Version, digest: str, packed: Packed) -> list[str]:
    folder = path_of(version.source)
    path = f"{folder}/{files.MANIFEST}"
    what = f"Version {version.version}:"
    if packed.digests.get(path) != digest:
        state = "has changed" if path in packed.digests else "is missing"
        return [f"{what} {path} {state} among the files in MLflow."]
    problems = []
    for name, expected in sorted(pinned_files(packed.manifests[path]).items()):
        found = packed.digests.get(f"{folder}/{name}")
        if found != expected:
            state = "is missing" if found is None else "has changed"
            problems.append(f"{what} {folder}/{name} {state} among the files in MLflow.")
    return problems

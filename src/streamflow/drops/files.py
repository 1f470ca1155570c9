"""Locate the CSV files of a drop and fingerprint their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from streamflow.errors import UsageError
from streamflow.repo.declarations import SourceTable

_BLOCK = 1 << 20

CHECKSUMS = "SHA256SUMS"
"""Name of an optional checksum file in `sha256sum` format; every CSV file listed there must match."""


@dataclass(frozen=True)
class DropFile:
    """One CSV file of a drop, as of the time of fingerprinting.

    Attributes:
        table: Source table that the rows belong to.
        path: Path of the file.
        sha256: Hex digest of the file's bytes.
        size: Size in bytes.
    """

    table: SourceTable
    path: Path
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Name of the file, without its folder."""
        return self.path.name


def find(tables: Iterable[SourceTable], folder: Path) -> tuple[list[DropFile], list[str]]:
    """Fingerprint the CSV file of each table.

    Args:
        tables: Declared source tables; each needs a file NAME.csv.
        folder: Folder of the drop.

    Returns:
        The files present, in the order of the tables; and a message for each file that is missing, unknown,
        unreadable or differs from its checksum.

    Raises:
        UsageError: The folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(
            f"There is no folder '{folder}'.", hint="Name the folder that holds the drop's CSV files."
        )
    tables = list(tables)
    wanted = {f"{table.name}.csv" for table in tables}
    present = {path.name for path in folder.iterdir() if path.suffix.lower() == ".csv"}
    problems = [f"{name}: this file is missing from the drop." for name in sorted(wanted - present)]
    problems += [
        f"{name}: there is no table of this name; remove the file, or declare it in feature_repo/tables.py."
        for name in sorted(present - wanted)
    ]
    found = []
    for table in tables:
        path = folder / f"{table.name}.csv"
        if path.name not in present:
            continue
        try:
            found.append(_fingerprint(table, path))
        except OSError as error:
            problems.append(f"{path.name}: cannot be read ({error.strerror or error}).")
    return found, problems + _checksum_problems(folder / CHECKSUMS, found)


def _fingerprint(table: SourceTable, path: Path) -> DropFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return DropFile(table, path, digest.hexdigest(), size)


def _checksum_problems(path: Path, found: list[DropFile]) -> list[str]:
    if not path.is_file():
        return []
    stated = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # `sha256sum` marks files read in binary mode with '*', and `find` puts './' before names.
        digest, _, name = line.partition(" ")
        stated[name.strip().lstrip("*").removeprefix("./")] = digest.strip().lower()
    return [
        f"{file.name}: its sha256 is not the one in {CHECKSUMS}; it was changed or not copied completely."
        for file in found
        if stated.get(file.name, file.sha256) != file.sha256
    ]


def digest(files: Iterable[DropFile]) -> str:
    """Fingerprint a drop's content: SHA-256 over the sorted lines "file sha256"."""
    lines = sorted(f"{file.name} {file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def drop_id(as_of: date, sequence: int, content: str) -> str:
    """Build a drop's id from its date, its sequence number on that date and the start of its fingerprint."""
    return f"{as_of:%Y-%m-%d}.{sequence}-{content[:12]}"

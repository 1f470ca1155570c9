"""The files of a drop: which there must be, and the fingerprint that identifies their content."""

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
"""Optional file of a drop in the format of `sha256sum`; every file that it names must match."""


@dataclass(frozen=True)
class DropFile:
    """One CSV file of a drop, as it was when it was fingerprinted.

    Attributes:
        table: The source table that its rows belong to.
        path: Where it is.
        sha256: Digest of its bytes, in hex.
        size: Its size in bytes.
    """

    table: SourceTable
    path: Path
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """File name, for messages."""
        return self.path.name


def find(tables: Iterable[SourceTable], folder: Path) -> tuple[list[DropFile], list[str]]:
    """Fingerprint the CSV file of every table.

    Returns:
        The files that are there, in the order of the tables, and what is wrong: missing, unknown, damaged.

    Raises:
        UsageError: the folder is none.
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
        digest, _, name = line.partition(" ")
        stated[name.strip().lstrip("*").removeprefix("./")] = digest.strip().lower()
    return [
        f"{file.name}: its sha256 is not the one in {CHECKSUMS}; it was changed or not copied completely."
        for file in found
        if stated.get(file.name, file.sha256) != file.sha256
    ]


def digest(files: Iterable[DropFile]) -> str:
    """The fingerprint of a drop's content: sha256 over its sorted lines 'file sha256'."""
    lines = sorted(f"{file.name} {file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def drop_id(as_of: date, sequence: int, content: str) -> str:
    """Name of a drop: its date, its number among the drops of that date, the start of its fingerprint."""
    return f"{as_of:%Y-%m-%d}.{sequence}-{content[:12]}"

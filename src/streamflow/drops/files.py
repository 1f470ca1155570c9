"""Locate the CSV files of a drop and fingerprint their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from streamflow.drops import limits
from streamflow.drops.quoting import shown, shown_path
from streamflow.drops.raw_file import BLOCK, FileError, Meter, names, open_file, problem_of
from streamflow.errors import UsageError
from streamflow.repo.declarations import SourceTable

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


def find(tables: Iterable[SourceTable], folder: Path, max_bytes: int) -> tuple[list[DropFile], list[str]]:
    """Fingerprint the CSV file of each table.

    Args:
        tables: Declared source tables; each needs a file NAME.csv.
        folder: Folder of the drop.
        max_bytes: Largest size of a file.

    Returns:
        The files present, in the order of the tables; and a message for each file that is missing, unknown,
        unreadable, too large, not a regular file, beyond the `limits` or different from its checksum.

    Raises:
        UsageError: The folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(
            f"There is no folder '{shown_path(folder)}'.",
            hint="Name the folder that holds the drop's CSV files.",
        )
    try:
        here = names(folder)
    except (FileError, OSError) as error:
        return [], [problem_of(folder.name, error)]
    tables = list(tables)
    problems = _missing_or_unknown([f"{table.name}.csv" for table in tables], here)
    found = []
    for table in tables:
        path = folder / f"{table.name}.csv"
        if path.name not in here:
            continue
        try:
            found.append(_fingerprint(table, path, max_bytes))
        except (FileError, OSError) as error:
            problems.append(problem_of(path.name, error))
    if CHECKSUMS in here:
        problems += _checksum_problems(folder / CHECKSUMS, found)
    return found, problems


def _missing_or_unknown(wanted: list[str], here: list[str]) -> list[str]:
    present = {name for name in here if Path(name).suffix.lower() == ".csv"}
    unknown = sorted(present.difference(wanted))
    problems = [f"{name}: this file is missing from the drop." for name in sorted(set(wanted) - present)]
    problems += [
        f"{shown(name)}: there is no table of this name; remove the file, or declare it in"
        " feature_repo/tables.py."
        for name in unknown[: limits.SHOWN_NAMES]
    ]
    if len(unknown) > limits.SHOWN_NAMES:
        problems.append(f"{len(unknown) - limits.SHOWN_NAMES:,} more CSV files belong to no table.")
    return problems


def too_large(size: int, most: int) -> str:
    """Say that a file has more bytes than the setting allows, for the report of the drop."""
    return (
        f"has {size:,} bytes, more than the {most:,} allowed by STREAMFLOW_INGEST__MAX_FILE_BYTES; check that it is"
        " the right file, or raise the setting."
    )


def _fingerprint(table: SourceTable, path: Path, most: int) -> DropFile:
    file = open_file(path)
    with Meter(path, file, most) as meter:
        # Refused before a byte is read; the meter stops a file that grows meanwhile.
        size = os.fstat(file.fileno()).st_size
        while size <= most and meter.read(BLOCK):
            pass
        if max(size, meter.count) > most:
            raise FileError(too_large(max(size, meter.count), most))
        return DropFile(table, path, meter.digest.hexdigest(), meter.count)


def _checksum_problems(path: Path, found: list[DropFile]) -> list[str]:
    try:
        with open_file(path) as file:
            content = file.read(limits.CHECKSUM_BYTES + 1)
    except (FileError, OSError) as error:
        return [problem_of(path.name, error)]
    if len(content) > limits.CHECKSUM_BYTES:
        return [f"{path.name} is larger than {limits.CHECKSUM_BYTES:,} bytes; is it a list of checksums?"]
    stated = {}
    for line in content.decode("utf-8", errors="replace").splitlines():
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

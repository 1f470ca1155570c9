"""Read the CSV files that a first feature repo is written from."""

from __future__ import annotations

import csv
from pathlib import Path

from streamflow.drops import dates
from streamflow.errors import UsageError

_MOST_ROWS = 100_000
"""Rows of a file that are looked at."""

Cells = dict[str, list[str]]
"""The cells of a table as text, by column; "" is an empty one."""


def read(folder: Path) -> dict[str, list[Cells]]:
    """Read the tables of a drop, or of a folder of drops that are named by their dates.

    Returns:
        The content of each table's file, by name of the table, one for each drop, oldest first.

    Raises:
        UsageError: There is no such folder, or a file cannot be read as a table.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder '{folder}'.", hint="Name the folder that holds the CSV files.")
    dated = [(day, item) for item in folder.iterdir() if item.is_dir() and (day := dates.date_of(item.name))]
    drops = [item for _, item in sorted(dated)] or [folder]
    tables: dict[str, list[Cells]] = {}
    for drop in drops:
        for file in sorted(drop.glob("*.csv")):
            tables.setdefault(file.stem, []).append(_cells(file))
    if not tables:
        raise UsageError(
            f"{folder} has no CSV files.",
            hint="Name a folder with one file a table, or with such folders named like 2025-05-31.",
        )
    return tables


def _cells(file: Path) -> Cells:
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            records = csv.reader(text, strict=True)
            header = [name.strip() for name in next(records, [])]
            rows = [row for _, row in zip(range(_MOST_ROWS), records, strict=False) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{file} cannot be read: {error}.", hint="Save it as CSV in UTF-8, with commas."
        ) from error
    if not rows or len(set(header)) < len(header) or not all(header):
        raise UsageError(
            f"{file} is not a table: it needs a header of different names, and rows below it.",
            hint="Correct the file, or leave it out of the folder.",
        )
    if wrong := next((number for number, row in enumerate(rows, start=2) if len(row) != len(header)), None):
        raise UsageError(
            f"{file}: row {wrong} has another number of fields than the header.", hint="Correct the file."
        )
    return {name: [row[at] for row in rows] for at, name in enumerate(header)}

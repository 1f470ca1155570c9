"""Guess tables, keys, types, the meaning of empty cells and the label from the cells of CSV files. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from streamflow.drops import parse
from streamflow.errors import UsageError
from streamflow.types import ColumnType

_MOST_CATEGORIES = 50
_TRUTH_VALUES = 2
_OFTEN_EMPTY = 0.2
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}", re.ASCII)
_LABELS = ("label", "target", "outcome", "churn", "fail", "default", "fraud", "left", "class")
"""Words that names of labels have, the most telling ones first."""


@dataclass(frozen=True)
class GuessedColumn:
    """A column of a table.

    Attributes:
        name: Name of the column.
        type: Its type.
        rows: Number of cells.
        empty: Number of empty cells.
        categories: Values of a string that has few of them.
        flag: Whether a boolean is written as 0 and 1, and so may be a count.
    """

    name: str
    type: ColumnType
    rows: int
    empty: int
    categories: tuple[str, ...] = ()
    flag: bool = False

    @property
    def feature(self) -> bool:
        """Whether a model can take it."""
        return self.type in ("int", "float", "bool") or bool(self.categories)

    @property
    def null(self) -> str:
        """What an empty cell may mean: a number or flag that many entities lack says something about them."""
        if self.empty > _OFTEN_EMPTY * self.rows and self.type in ("int", "float", "bool"):
            return "not_applicable"
        return "missing" if self.empty else ""


@dataclass(frozen=True)
class GuessedTable:
    """A table.

    Attributes:
        name: Name of the table.
        columns: Its columns without the key.
        entities: Whether it has every entity.
    """

    name: str
    columns: tuple[GuessedColumn, ...]
    entities: bool


@dataclass(frozen=True)
class Guess:
    """What a first feature repo is written from.

    Attributes:
        key: The key of all tables.
        tables: The tables.
        label: Table and column of the label.
        others: Other columns that could be the label, as `table.column`.
    """

    key: str
    tables: tuple[GuessedTable, ...]
    label: tuple[str, str]
    others: tuple[str, ...]


def guess(tables: Mapping[str, Sequence[Mapping[str, Sequence[str]]]], label: str | None = None) -> Guess:
    """Guess from the content of each table's files.

    Args:
        tables: For each table, the cells of each file by column.
        label: The label as `table.column`; None guesses it.

    Raises:
        UsageError: A name cannot be that of a table or column, no column can be the key, or none can be the label.
    """
    _check_names(tables)
    key = _key(tables)
    keys = {name: {value for file in files for value in file[key]} for name, files in tables.items()}
    columns = {
        name: tuple(
            _column(column, [cell for file in files for cell in file[column]])
            for column in files[0]
            if column != key
        )
        for name, files in tables.items()
    }
    first, *others = _labels(columns, label)
    table, _, column = first.partition(".")
    # Of tables that have equally many, rather one that describes the entities than the label's.
    most = max(sorted(keys), key=lambda name: (len(keys[name]), name != table))
    guessed = tuple(GuessedTable(name, columns[name], entities=name == most) for name in tables)
    return Guess(key, guessed, (table, column), tuple(others))


def _check_names(tables: Mapping[str, Sequence[Mapping[str, Sequence[str]]]]) -> None:
    for name, files in tables.items():
        for word in (name, *files[0]):
            if not _NAME.fullmatch(word):
                raise UsageError(
                    f"'{word}' in {name}.csv cannot be the name of a table or column.",
                    hint="Rename it: small letters, digits and '_', beginning with a letter.",
                )
        if any(set(file) != set(files[0]) for file in files):
            raise UsageError(
                f"The files {name}.csv have different columns.", hint="Give all of them the same header."
            )


def _key(tables: Mapping[str, Sequence[Mapping[str, Sequence[str]]]]) -> str:
    files = [file for several in tables.values() for file in several]
    for column in files[0]:
        if all(
            column in file and all(file[column]) and len(set(file[column])) == len(file[column])
            for file in files
        ):
            return column
    raise UsageError(
        "No column is in every file with another value in each row, so none can be the key.",
        hint="Every file needs the key of the one entity. Join a key of several columns into one; aggregate several"
        " rows of an entity to one.",
    )


def _column(name: str, cells: Sequence[str]) -> GuessedColumn:
    filled = [cell for cell in cells if cell]
    empty = len(cells) - len(filled)
    kinds: tuple[ColumnType, ...] = ("bool", "int", "float", "date") if filled else ()
    for kind in kinds:
        _, bad = parse.column(kind, pa.array(filled, pa.string()))
        if bad or (kind == "bool" and len(set(filled)) < _TRUTH_VALUES):
            continue
        return GuessedColumn(name, kind, len(cells), empty, flag=kind == "bool" and set(filled) == {"0", "1"})
    different = sorted(set(filled))
    few = len(different) <= min(_MOST_CATEGORIES, max(2, len(cells) // 5))
    return GuessedColumn(name, "string", len(cells), empty, tuple(different) if few else ())


def _labels(tables: Mapping[str, Sequence[GuessedColumn]], wanted: str | None) -> list[str]:
    """Columns that may be the label, the likeliest first."""
    able = [
        (table, column)
        for table, columns in tables.items()
        for column in columns
        if column.type == "bool" and not column.empty
    ]
    names = [f"{table}.{column.name}" for table, column in able]
    if wanted is not None:
        if wanted not in names:
            raise UsageError(
                f"'{wanted}' cannot be the label: it is not a boolean column without empty cells.",
                hint=f"There are: {', '.join(names) or 'none'}.",
            )
        return [wanted, *(name for name in names if name != wanted)]
    if not able:
        raise UsageError(
            "No column has only True and False, and no empty cell, so none can be the label.",
            hint="Add the label as a column of True and False to one of the files.",
        )

    def likely(at: int) -> tuple[bool, int]:
        table, column = able[at]
        word = next((place for place, word in enumerate(_LABELS) if word in column.name), len(_LABELS))
        return len(tables[table]) > 1, word

    return [names[at] for at in sorted(range(len(able)), key=likely)]

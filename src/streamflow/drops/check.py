"""Validate records against a table's declaration: typed rows, and rejected records with reasons. Pure."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
from pandera.errors import SchemaErrors

from streamflow import types
from streamflow.drops import conditions, parse
from streamflow.drops.blocks import Block
from streamflow.drops.quoting import shown, shown_names
from streamflow.drops.raw_file import FileError
from streamflow.drops.read import Chunk, CsvReader, OneLineEach
from streamflow.repo.declarations import NOT_AFTER_AS_OF, SourceTable

LINE = "line"
"""Name of the line number column in `Checked.accepted`."""


# pandas' default integer and boolean types have no null: a column with gaps would become float or object.
_NULLABLE = {
    pa.type_for_alias(item.arrow): dtype
    for item in types.TYPES
    if isinstance(dtype := pd.api.types.pandas_dtype(item.pandas[0]), pd.api.extensions.ExtensionDtype)
}
"""Nullable dtype by Arrow type. A date has none: pandas converts it to its own timestamps."""


@dataclass(frozen=True)
class Rejected:
    """A record to quarantine. A record with several invalid cells is reported once.

    Attributes:
        line: Line of the file on which the record begins.
        column: The first invalid column; None when the whole record is malformed.
        reason: Why the record was rejected; lists any further invalid columns at the end.
        value: Original text of the cell.
        raw: Original text of the record.
    """

    line: int
    column: str | None
    reason: str
    value: str | None
    raw: str


@dataclass(frozen=True)
class Checked:
    """A checked chunk.

    Attributes:
        accepted: Valid rows: line number, key, then the declared columns in order, typed.
        rejected: Invalid records, in file order.
        whole: The block, if all its lines are valid rows, and their cells in the forms that Arrow takes.
    """

    accepted: pa.Table
    rejected: list[Rejected]
    whole: Block | None = None


def header_order(table: SourceTable, header: Sequence[str]) -> tuple[list[int], list[str]]:
    """Map each declared column to its position in the header.

    A header may list its columns in any order and in upper or lower case.

    Returns:
        The field index of each declared column, and a note for each name that differs in case.

    Raises:
        FileError: Columns are missing, unknown or duplicated; the message lists all of them.
    """
    folded = [name.casefold() for name in header]
    wanted = {name.casefold(): name for name in table.column_names}
    known = len(wanted.keys() & set(folded))
    if 2 * known < len(wanted):
        # The line may be a row, so nothing of it is quoted: the message ends in the log of a job.
        raise FileError(
            f"names {known} of its {len(wanted)} columns in the first line; is the header missing?"
            f" (expected: {', '.join(table.column_names)})."
        )
    problems = []
    if missing := [name for key, name in wanted.items() if key not in folded]:
        problems.append(f"lacks the column(s) {', '.join(missing)}")
    if unknown := [name for name in header if name.casefold() not in wanted]:
        problems.append(f"has the unknown column(s) {shown_names(unknown)}")
    if twice := sorted(
        {name for name in header if folded.count(name.casefold()) > 1 and name.casefold() in wanted}
    ):
        problems.append(f"has the column(s) {shown_names(twice)} more than once")
    if problems:
        raise FileError(f"{'; '.join(problems)} (expected: {', '.join(table.column_names)}).")
    order = [folded.index(key) for key in wanted]
    notes = [
        f"column '{shown(header[at])}' was read as '{name}'"
        for at, name in zip(order, wanted.values(), strict=True)
        if header[at] != name
    ]
    return order, notes


class RowChecker:
    """Validates the chunks of one file.

    Args:
        table: Declaration of the file's table.
        order: Field index of each declared column, from `header_order`.
        as_of: Date of the drop; the latest date allowed in columns declared `not_after_as_of`.
    """

    def __init__(self, table: SourceTable, order: Sequence[int], as_of: date) -> None:
        self._table = table
        self._order = order
        self._as_of = as_of
        self._kinds = {table.key: "string", **{column.name: column.type for column in table.columns}}
        # A chunk cannot see duplicates in other chunks, so `stage` looks for them in PostgreSQL.
        self._schema = copy.deepcopy(table.schema)
        self._schema.unique = None
        self._conditions = conditions.of(self._schema, self._kinds, as_of)
        names = list(self._kinds)
        self._names = [names[at] for at in np.argsort(self._order)]

    def checked(self, reader: CsvReader, rows: int) -> Iterator[Checked]:
        """Parse and validate the records of a file after its header.

        Args:
            reader: Reader of the file.
            rows: Most records to read at a time.

        Raises:
            FileError: The file is unusable.
        """
        # Without a translation of each declared check for whole columns, pandera looks at every row.
        for part in reader.chunks(rows) if self._conditions is None else reader.parts(rows):
            yield self.check_block(part) if isinstance(part, Block) else self.check(part)

    @property
    def field_names(self) -> list[str]:
        """Names of the declared columns in the order of the file's fields."""
        return self._names

    def check_block(self, block: Block) -> Checked:
        """Parse and validate the lines of a plain block: as columns, and only lines that may be invalid one by one.

        Raises:
            FileError: A line has too many fields.
        """
        if self._conditions is None:
            raise AssertionError(f"{self._table.name} has a check that is only known row by row")
        typed = parse.lines(block.data, self._names, self._kinds)
        lines, doubtful = np.arange(block.lines), np.zeros(block.lines, dtype=bool)
        strict = typed is not None
        if typed is None:
            doubtful = block.misshapen(len(self._names))
            lines = lines[~doubtful]
            typed = self._parsed(block.without(doubtful) if doubtful.any() else block.data, doubtful, lines)
        good = conditions.holds(typed, self._conditions)
        if good is not None:
            doubtful[lines[~good]] = True
        accepted = typed.add_column(0, pa.field(LINE, pa.int64()), pa.array(lines + block.start))
        if not doubtful.any():
            return Checked(accepted, [], block if strict else None)
        accepted = accepted.filter(pa.array(~doubtful[lines]))
        return self._with_doubtful(block, np.flatnonzero(doubtful), accepted)

    def _parsed(self, data: bytes, doubtful: Any, lines: Any) -> pa.Table:
        """Parse the columns of `data`, which has `lines` of a block; mark the lines with an invalid cell."""
        text = parse.texts(data, self._names)
        columns = {}
        for name, kind in self._kinds.items():
            columns[name], bad = parse.column(kind, text[name].combine_chunks())
            doubtful[lines[list(bad)]] = True
        return pa.table(columns)

    def _with_doubtful(self, block: Block, indexes: Any, accepted: pa.Table) -> Checked:
        raw = block.raw(indexes)
        numbers = [block.start + int(at) for at in indexes]
        checked = self.check(OneLineEach([*block.fields(raw, indexes)], numbers, numbers, raw))
        if checked.accepted.num_rows:
            accepted = pa.concat_tables([accepted, checked.accepted]).sort_by(LINE)
        return Checked(accepted, checked.rejected)

    def check(self, chunk: Chunk) -> Checked:
        """Parse and validate the records of a chunk."""
        width = len(self._order)
        whole = [at for at, fields in enumerate(chunk.fields) if fields is not None and len(fields) == width]
        bad: dict[int, list[tuple[str | None, str]]] = {
            at: [(None, _misshapen(fields, width))]
            for at, fields in enumerate(chunk.fields)
            if fields is None or len(fields) != width
        }
        records: list[Any] = chunk.fields if not bad else [chunk.fields[at] for at in whole]
        typed, cell_problems = self._typed(records)
        for index, name, reason in self._in_column_order(
            cell_problems, self._violations(typed, cell_problems)
        ):
            bad.setdefault(whole[index], []).append((name, reason))
        keep = np.array([at not in bad for at in whole], dtype=bool) if bad else None
        lines = pa.array([chunk.starts[at] for at in whole] if bad else chunk.starts, pa.int64())
        accepted = typed.add_column(0, pa.field(LINE, pa.int64()), lines)
        if keep is not None:
            accepted = accepted.filter(pa.array(keep))
        return Checked(accepted, [self._rejected(chunk, at, bad[at]) for at in sorted(bad)])

    def _typed(self, records: list[list[str]]) -> tuple[pa.Table, dict[str, dict[int, str]]]:
        fields = list(zip(*records, strict=True)) or [()] * len(self._order)
        columns, problems = {}, {}
        for at, (name, kind) in zip(self._order, self._kinds.items(), strict=True):
            text = pa.array(fields[at], pa.string())
            text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
            columns[name], bad = parse.column(kind, text)
            if bad:
                problems[name] = bad
        return pa.table(columns), problems

    def _violations(
        self, typed: pa.Table, cell_problems: dict[str, dict[int, str]]
    ) -> Iterable[tuple[int, str, str]]:
        frame = typed.to_pandas(types_mapper=_NULLABLE.get, date_as_object=False)
        for name, kind in self._kinds.items():
            if kind == "date":
                # Arrow's dates arrive as datetime64[ms]; the declarations say datetime64[ns].
                frame[name] = frame[name].astype("datetime64[ns]")
                if (self._schema.columns[name].metadata or {}).get(NOT_AFTER_AS_OF):
                    late = np.flatnonzero(frame[name] > pd.Timestamp(self._as_of))
                    yield from ((int(at), name, f"lies after the drop's as-of, {self._as_of}") for at in late)
        try:
            with warnings.catch_warnings():
                # pandera concatenates the failure cases of all checks. pandas warns when those of one check
                # are all null, because the resulting dtype will change; we do not use that dtype.
                warnings.filterwarnings("ignore", "The behavior of DataFrame concatenation", FutureWarning)
                self._schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            cases = errors.failure_cases
            for name, check, number, index in zip(
                cases["column"], cases["check"], cases["check_number"], cases["index"], strict=True
            ):
                # Cells that failed to parse are null here, so pandera calls them empty.
                if int(index) not in cell_problems.get(name, {}):
                    yield int(index), name, self._words(name, check, number)

    def _words(self, name: str, check: str, number: Any) -> str:
        if check == "not_nullable":
            return "is empty"
        return in_words(self._schema.columns[name].checks[int(number)])

    def _in_column_order(
        self, cells: dict[str, dict[int, str]], violations: Iterable[tuple[int, str, str]]
    ) -> list[tuple[int, str, str]]:
        position = {name: at for at, name in enumerate(self._kinds)}
        found = [(index, name, reason) for name, bad in cells.items() for index, reason in bad.items()]
        return sorted([*found, *violations], key=lambda item: (item[0], position[item[1]]))

    def _rejected(self, chunk: Chunk, at: int, problems: list[tuple[str | None, str]]) -> Rejected:
        (column, reason), *others = problems
        fields = chunk.fields[at]
        also = "".join(f"; {name} {why}" for name, why in others)
        value = None
        if column is not None and fields is not None:
            value = fields[self._order[list(self._kinds).index(column)]]
        return Rejected(chunk.starts[at], column, reason + also, value, chunk.raw(at))


def _misshapen(fields: list[str] | None, width: int) -> str:
    if fields is None:
        return "the quoting of this record is broken"
    if not fields:
        return "the line is empty"
    return f"has {len(fields)} field(s) instead of {width}"


_LIMITS = {
    "greater_than": "above",
    "greater_than_or_equal_to": "at least",
    "less_than": "below",
    "less_than_or_equal_to": "at most",
}


def in_words(check: pandera.Check) -> str:
    """Describe how a value violates a check, for example "is not between 0 and 9"."""
    facts = check.statistics or {}
    match check.name:
        case "in_range":
            return f"is not between {facts['min_value']} and {facts['max_value']}"
        case "isin":
            return f"is none of {', '.join(str(value) for value in facts['allowed_values'])}"
        case "str_matches":
            pattern = facts["pattern"]
            return f"does not match the pattern {getattr(pattern, 'pattern', pattern)}"
        case name if name in _LIMITS:
            return f"is not {_LIMITS[str(name)]} {next(iter(facts.values()))}"
    return f"fails the check {check.error or check.name}"

"""Copy checked rows to temporary tables in PostgreSQL; reject duplicates and rows of unknown entities there.

Everything runs on one connection, in the transaction that later stores the drop. PostgreSQL drops the
temporary tables when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import sqlalchemy as sa

from streamflow.drops import limits
from streamflow.drops.check import LINE, Rejected, RowChecker, header_order
from streamflow.drops.copy_rows import LINE_DEFINITION, RowCopier, copy
from streamflow.drops.files import DropFile
from streamflow.drops.key_sequence import KeySequence
from streamflow.drops.quoting import shown
from streamflow.drops.raw_file import FileError, problem_of
from streamflow.drops.read import CsvReader, raw_records
from streamflow.drops.tables import column_definitions
from streamflow.erasure.key import Key
from streamflow.postgres.names import PLATFORM, quote
from streamflow.repo.declarations import SourceTable

QUARANTINE = "staged_quarantine"
"""Name of the temporary table of rejected records."""
ERASED = "erased"
"""Reason of a record whose entity was erased; nothing else of the record is kept."""

_RAW = "staged_raw"
_ERASED = "staged_erased"
_EXAMPLES = 3


@dataclass
class StagedFile:
    """Row counts and problems of one staged file.

    Attributes:
        file: The file.
        lines: Number of records, header excluded.
        accepted: Number of valid records, which are in the temporary table `staged(table)`.
        quarantined: Number of rejected records, which are in the temporary table `QUARANTINE`.
        erased: Number of those that were rejected because their entity was erased.
        keys: Digest of the keys of the valid records in the file's order; empty if the file was not read to its end.
        problems: Reasons to refuse the whole drop because of this file; empty if there are none.
        notes: Unusual but accepted input.
    """

    file: DropFile
    lines: int = 0
    accepted: int = 0
    quarantined: int = 0
    erased: int = 0
    keys: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def staged(table: SourceTable) -> str:
    """Return the quoted name of the temporary table for a source table."""
    return quote(f"staged_{table.name}")


def stage(
    connection: sa.Connection,
    files: Iterable[DropFile],
    as_of: date,
    chunk_rows: int,
    moved: Callable[[str, int], None],
    key: Key | None = None,
) -> list[StagedFile]:
    """Read, check and copy all files; then reject rows of erased entities, duplicates and rows of unknown entities.

    Args:
        connection: Connection inside the transaction that later stores the drop.
        files: Files of the drop.
        as_of: Date of the drop.
        chunk_rows: Number of rows to read at a time.
        moved: Called after each chunk with the file's name and the bytes read since the last call.
        key: Key of the list of erasures; None if the list is empty.
    """
    connection.exec_driver_sql("SET LOCAL client_min_messages = 'warning'")
    connection.exec_driver_sql("SET LOCAL work_mem = '128MB'")
    connection.exec_driver_sql(
        f"CREATE TEMP TABLE {QUARANTINE} (table_name text, file text, line bigint, column_name text,"
        " reason text, value text, raw text) ON COMMIT DROP"
    )
    connection.exec_driver_sql(
        f"CREATE TEMP TABLE {_RAW} (table_name text, line bigint, raw text) ON COMMIT DROP"
    )
    result = [_stage_file(connection, file, as_of, chunk_rows, moved) for file in files]
    if len({item.keys for item in result}) > 1:
        for item in result:
            # Autovacuum never analyzes temporary tables, and the statements that follow join them by their keys.
            connection.exec_driver_sql(f"ANALYZE {staged(item.file.table)} ({quote(item.file.table.key)})")
    if key is not None:
        _reject_erased(connection, result, key)
    _each_sequence(result, partial(_reject_duplicates, connection))
    entities = next((item for item in result if item.file.table.entities), None)
    # If the entity table itself is unusable, every row would look unknown and bury the real problem.
    if entities is not None and not entities.problems:
        others = [item for item in result if item is not entities and item.keys != entities.keys]
        _each_sequence(others, partial(_reject_unknown, connection, entities))
    return result


def _each_sequence(files: Iterable[StagedFile], reject: Callable[[StagedFile], int]) -> None:
    """Reject rows of each file by their keys; skip a file if one with the same keys had nothing to reject."""
    clean = set()
    for item in files:
        if item.keys not in clean and not reject(item) and item.keys:
            clean.add(item.keys)


def _stage_file(
    connection: sa.Connection, file: DropFile, as_of: date, chunk_rows: int, moved: Callable[[str, int], None]
) -> StagedFile:
    result = StagedFile(file)
    connection.exec_driver_sql(
        f"CREATE TEMP TABLE {staged(file.table)} ({LINE_DEFINITION}, {column_definitions(file.table)})"
        " ON COMMIT DROP"
    )
    try:
        with CsvReader(file.path, file.size) as reader:
            order, result.notes = header_order(file.table, reader.header())
            checker, keys, seen = RowChecker(file.table, order, as_of), KeySequence(), 0
            with RowCopier(connection, staged(file.table), checker.field_names) as copier:
                for checked in checker.checked(reader, chunk_rows):
                    copier.add(checked)
                    keys.add(checked.accepted[file.table.key])
                    if checked.rejected:
                        copier.end()
                        _quarantine(connection, result, checked.rejected)
                    result.lines += checked.accepted.num_rows + len(checked.rejected)
                    result.accepted += checked.accepted.num_rows
                    moved(file.name, reader.bytes_read - seen)
                    seen = reader.bytes_read
            if not result.lines:
                raise FileError("has a header and no rows.")
            # The ledger records the digest taken before; it must be that of the rows read here.
            reader.require(file.sha256)
            result.keys = keys.digest()
    except (FileError, OSError) as error:
        result.problems.append(problem_of(file.name, error))
    return result


def _quarantine(connection: sa.Connection, result: StagedFile, rejected: list[Rejected]) -> None:
    result.quarantined += len(rejected)
    with copy(connection, f"COPY {QUARANTINE} FROM STDIN") as rows:
        for item in rejected:
            rows.write_row(_quarantine_row(result.file, item))


def _quarantine_row(file: DropFile, item: Rejected) -> tuple[Any, ...]:
    return (file.table.name, file.name, item.line, item.column, item.reason, item.value, item.raw)


def _reject_erased(connection: sa.Connection, files: list[StagedFile], key: Key) -> None:
    """Move rows of erased entities to the quarantine, with their line and nothing else.

    First of all rejections, so that no other reason keeps the value or the text of such a row.
    """
    keys = " UNION ".join(
        f"SELECT {quote(item.file.table.key)} AS entity FROM {staged(item.file.table)}" for item in files
    )
    listed = f"(SELECT entity_hash FROM {PLATFORM}.erased)"
    # Each entity is hashed once, and not once a table.
    connection.execute(
        sa.text(
            f"CREATE TEMP TABLE {_ERASED} ON COMMIT DROP AS SELECT entity FROM ({keys}) AS k"
            f" WHERE {PLATFORM}.erased_hash(entity, :inner, :outer) IN {listed}"
        ),
        key.pads,
    )
    for item in files:
        name, column = staged(item.file.table), quote(item.file.table.key)
        held = {"table": item.file.table.name, "file": item.file.name, "reason": ERASED}
        moved = connection.execute(
            sa.text(
                f"WITH rejected AS (DELETE FROM {name} WHERE {column} IN (SELECT entity FROM {_ERASED})"
                f" RETURNING {LINE}) INSERT INTO {QUARANTINE} (table_name, file, line, reason, raw)"
                f" SELECT :table, :file, {LINE}, :reason, '' FROM rejected"
            ),
            held,
        ).rowcount
        # Rows that an earlier check refused have the text of the row, and the entity somewhere in it.
        blanked = connection.execute(
            sa.text(
                f"UPDATE {QUARANTINE} SET column_name = NULL, reason = :reason, value = NULL, raw = ''"
                " WHERE table_name = :table AND raw <> '' AND EXISTS ("
                f" SELECT FROM {PLATFORM}.fields_of(raw) AS field"
                f" WHERE {PLATFORM}.erased_hash(field, :inner, :outer) IN {listed})"
            ),
            held | key.pads,
        ).rowcount
        item.accepted -= moved
        item.quarantined += moved
        item.erased += moved + blanked


def _reject_duplicates(connection: sa.Connection, item: StagedFile) -> int:
    # Reject every copy: we cannot tell which one is right, and keeping the first would make the outcome
    # depend on the order of lines.
    name, key = staged(item.file.table), quote(item.file.table.key)
    return _reject(
        connection,
        item,
        f"DELETE FROM {name} s USING"
        f" (SELECT {key}, count(*) AS copies FROM {name} GROUP BY 1 HAVING count(*) > 1) d"
        f" WHERE s.{key} = d.{key} RETURNING s.{LINE}, s.{key} AS value,"
        " 'appears ' || d.copies || ' times in this file, and which row is right is not known' AS reason",
    )


def _reject_unknown(connection: sa.Connection, entities: StagedFile, item: StagedFile) -> int:
    name, key = staged(item.file.table), quote(item.file.table.key)
    known, known_key = staged(entities.file.table), quote(entities.file.table.key)
    return _reject(
        connection,
        item,
        f"DELETE FROM {name} s WHERE NOT EXISTS (SELECT FROM {known} k WHERE k.{known_key} = s.{key})"
        f" RETURNING s.{LINE}, s.{key} AS value,"
        f" 'is unknown: {entities.file.name} has no good row of it' AS reason",
    )


def _reject(connection: sa.Connection, item: StagedFile, delete: str) -> int:
    """Move rows to the quarantine: those that the statement `delete` returns as line, value and reason."""
    moved: int = connection.execute(
        sa.text(
            f"WITH rejected AS ({delete}) INSERT INTO {QUARANTINE}"
            " (table_name, file, line, column_name, reason, value)"
            f" SELECT :table, :file, {LINE}, :column, reason, value FROM rejected"
        ),
        {"table": item.file.table.name, "file": item.file.name, "column": item.file.table.key},
    ).rowcount
    item.accepted -= moved
    item.quarantined += moved
    return moved


def judge(connection: sa.Connection, item: StagedFile, max_bad_share: float) -> None:
    """Add a problem to a file if more than `max_bad_share` of its records were rejected. Erased ones are not bad."""
    bad = item.quarantined - item.erased
    share = bad / item.lines if item.lines else 0.0
    if item.problems or share <= max_bad_share:
        return
    examples = connection.execute(
        sa.text(
            f"SELECT line, column_name, reason FROM {QUARANTINE} WHERE table_name = :table"
            " AND reason <> :erased ORDER BY line LIMIT :most"
        ),
        {"table": item.file.table.name, "erased": ERASED, "most": _EXAMPLES},
    )
    # Without values: this problem ends in the log of a job, and in its recorded result.
    shown = "; ".join(described(row.line, row.column_name, None, row.reason) for row in examples)
    item.problems.append(
        f"{item.file.name} has {bad} bad rows of {item.lines} ({share:.1%}), more than the"
        f" {max_bad_share:.1%} allowed by STREAMFLOW_INGEST__MAX_BAD_SHARE. The first: {shown}."
    )


def described(line: int, column: str | None, value: str | None, reason: str) -> str:
    """Describe a rejected record, for example "line 3: age '200' is not between 0 and 120".

    Args:
        line: Line of the file.
        column: The invalid column; None when the whole record is malformed.
        value: Original text of the cell; None leaves it out.
        reason: Why the record was rejected.
    """
    quoted = "" if value is None else f"'{shown(value)}' "
    shown_reason = shown(reason, limits.SHOWN_REASON_CHARACTERS)
    return f"line {line}: {f'{column} {quoted}' if column else ''}{shown_reason}"


def add_raw_text(connection: sa.Connection, item: StagedFile, chunk_rows: int) -> None:
    """Add the original text of records rejected inside PostgreSQL, by reading the file again.

    A file that changed in the meantime gets a problem instead.
    """
    lines = set(
        connection.execute(
            sa.text(f"SELECT line FROM {QUARANTINE} WHERE table_name = :table AND raw IS NULL"),
            {"table": item.file.table.name},
        ).scalars()
    )
    if not lines:
        return
    with copy(connection, f"COPY {_RAW} FROM STDIN") as rows:
        for row in _raw_rows(item, lines, chunk_rows):
            rows.write_row(row)
    connection.execute(
        sa.text(
            f"UPDATE {QUARANTINE} q SET raw = r.raw FROM {_RAW} r WHERE q.raw IS NULL"
            " AND q.table_name = r.table_name AND q.line = r.line"
        )
    )


def _raw_rows(item: StagedFile, lines: set[int], chunk_rows: int) -> Iterator[tuple[str, int, str]]:
    # An exception would abort the COPY and, with it, the transaction that other files still need.
    try:
        for line, raw in raw_records(item.file.path, item.file.size, item.file.sha256, lines, chunk_rows):
            yield item.file.table.name, line, raw
    except (FileError, OSError) as error:
        item.problems.append(problem_of(item.file.name, error))

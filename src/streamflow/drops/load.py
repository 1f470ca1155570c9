"""Load drops. Each drop is one transaction that writes ledger, rows and quarantine, or nothing."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.drops import complete, files, inbox, ledger, parse, stage, store
from streamflow.drops.quoting import shown, shown_path
from streamflow.drops.raw_file import FileError, problem_of
from streamflow.drops.read import Progress
from streamflow.drops.rows import Rows
from streamflow.erasure import listed
from streamflow.erasure.key import Key
from streamflow.errors import DropRefused, UsageError
from streamflow.postgres import clock, locks
from streamflow.postgres.engine import transaction
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings, IngestSettings

_CORRECT = "Correct the files and ingest again; 'streamflow drops check DIR' checks without storing."


@dataclass(frozen=True)
class Into:
    """What drops are loaded into.

    Attributes:
        database: Connection settings; PostgreSQL checks the rows, and has the ledger and the quarantine.
        rows: Where the rows are stored.
        key: Key of the list of erasures; needed once somebody was erased.
    """

    database: DatabaseSettings
    rows: Rows
    key: Key | None = None


@dataclass(frozen=True)
class TableOutcome:
    """Row counts of one file.

    Attributes:
        table: Source table of the file.
        file: File name.
        lines: Number of records, header excluded: `accepted` + `quarantined`.
        accepted: Number of valid rows.
        quarantined: Number of rejected rows.
    """

    table: str
    file: str
    lines: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class IngestOutcome:
    """Result of loading a drop.

    Attributes:
        drop_id: Id of the drop in the ledger.
        as_of: Date that the drop describes.
        changed: False if the newest drop of this date has the same content and nothing was stored.
        loaded_at: Load time by the database's clock; all rows of the drop share it.
        tables: Row counts of each file.
        notes: Unusual but accepted input.
    """

    drop_id: str
    as_of: date
    changed: bool
    loaded_at: datetime
    tables: tuple[TableOutcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> dict[str, int]:
        """Number of stored rows, by table."""
        return {item.table: item.accepted for item in self.tables}

    @property
    def quarantined(self) -> dict[str, int]:
        """Number of rejected rows, by table."""
        return {item.table: item.quarantined for item in self.tables}


@dataclass(frozen=True)
class Examined:
    """Result of checking a drop without storing it.

    Attributes:
        tables: Row counts of each file.
        problems: Reasons to refuse the drop; empty if `load` would store it.
        rejected: Descriptions of the first rejected rows.
        notes: Unusual but acceptable input.
    """

    tables: tuple[TableOutcome, ...]
    problems: tuple[str, ...]
    rejected: tuple[str, ...]
    notes: tuple[str, ...]


class _Meter:
    """Totals the bytes read from all files and reports progress."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def moved(self, file: str, size: int) -> None:
        self._done += size
        self.step(f"reading {file}")

    def step(self, text: str) -> None:
        if self._progress is not None:
            self._progress(text, self._done, self._total)


def load(
    into: Into,
    rules: IngestSettings,
    repo: FeatureRepo,
    folder: Path,
    as_of: date,
    loaded_by: str | None = None,
    progress: Progress | None = None,
) -> IngestOutcome:
    """Store the drop in `folder` as the state of the world on `as_of`.

    If the newest drop of that date has the same content, nothing is stored, even if the folder's name
    differs. Different content for a known date is a correction, stored as a new drop beside the old one.

    Args:
        into: What to load into.
        rules: Limits on files and on bad rows, and number of rows to read at a time.
        repo: Feature repo that declares the source tables.
        folder: Folder of the drop.
        as_of: Date that the drop describes.
        loaded_by: User or job to record in the ledger; default: the user of this process.
        progress: Called after each chunk.

    Raises:
        UsageError: The folder does not exist, or the date is in the future or before all dates that are read.
        DropRefused: The drop has problems, all of which are listed; nothing was stored.
        Refused: Another ingest is running, the clock is wrong (see `clock.stamp`), or the key is missing.
        DependencyDown: PostgreSQL or the lake does not answer.
    """
    found, problems = files.find(repo.tables, folder, rules.max_file_bytes)
    content = files.digest(found)
    with transaction(into.database) as connection:
        locks.take(connection, locks.INGEST)
        _require_past(connection, as_of)
        known = ledger.newest(connection, as_of)
        # The digest covers declared tables only: an unknown file must be refused even beside known content.
        if known is not None and known.digest == content and not problems:
            return _unchanged(connection, repo, known)
        into.rows.prepare(connection, repo)
        meter = _Meter(progress, sum(file.size for file in found))
        staged = _stage(connection, rules, found, as_of, meter, into.key)
        problems += [problem for item in staged for problem in item.problems]
        if problems:
            raise _refusal(folder, problems)
        sequence = known.sequence + 1 if known else 1
        drop = store.Drop(
            drop_id=files.drop_id(as_of, sequence, content),
            as_of=as_of,
            sequence=sequence,
            digest=content,
            loaded_by=shown(loaded_by or _user()),
            origin=shown_path(folder.resolve()),
        )
        loaded_at = store.store(connection, into.rows, drop, staged, meter.step)
        # In the same transaction, so that rows and their planner statistics become visible together.
        meter.step("analyzing")
        into.rows.finish(connection, repo, drop.number)
    outcomes = tuple(_outcome(item) for item in staged)
    return IngestOutcome(drop.drop_id, as_of, True, loaded_at, outcomes, _notes(staged))


def load_new(
    into: Into,
    rules: IngestSettings,
    repo: FeatureRepo,
    root: Path,
    loaded_by: str | None = None,
    progress: Progress | None = None,
    provided: Callable[[Path], AbstractContextManager[object]] = nullcontext,
) -> list[IngestOutcome]:
    """Store each complete drop below `root` whose date is not in the ledger yet, oldest first.

    A correction, that is a second drop of a known date, must be loaded explicitly with `load`. Incomplete
    drops are left to the next run, and drops later than `ingest.until` to a run that allows them.

    Args:
        into: What to load into.
        rules: Newest date to load, limits on files and on bad rows, and number of rows to read at a time.
        repo: Feature repo that declares the source tables.
        root: Folder that contains the drops' folders.
        loaded_by: User or job to record in the ledger; default: the user of this process.
        progress: Called after each chunk.
        provided: Puts the files of a drop into its folder while it is loaded; default: they are there.

    Raises:
        UsageError: The folder does not exist or cannot be read.
        DropRefused: Some drops have problems, or folders are no drops but named almost so; the others were stored.
    """
    with transaction(into.database) as connection:
        known = ledger.dates(connection)
    drops, problems = inbox.scan(root)
    outcomes = []
    for when, folder in drops:
        # Drops are independent: a bad one must not block those after it.
        try:
            if when in known or (rules.until is not None and when > rules.until):
                continue
            with provided(folder):
                if complete.is_complete(folder):
                    outcomes.append(load(into, rules, repo, folder, when, loaded_by, progress))
        except (FileError, OSError) as error:
            problems.append(problem_of(folder.name, error))
        except DropRefused as refusal:
            problems += [f"{shown(folder.name)}: {problem}" for problem in refusal.details]
        except UsageError as error:
            problems.append(f"{shown(folder.name)}: {error.what}")
    if problems:
        stored = ", ".join(outcome.drop_id for outcome in outcomes) or "none"
        raise DropRefused(
            f"Drops in {shown_path(root)} are refused. Stored: {stored}.",
            details=tuple(problems),
            hint=_CORRECT,
        )
    return outcomes


def examine(
    database: DatabaseSettings,
    rules: IngestSettings,
    repo: FeatureRepo,
    folder: Path,
    as_of: date,
    *,
    progress: Progress | None = None,
    key: Key | None = None,
) -> Examined:
    """Run all checks of `load` without storing anything.

    Args:
        database: Connection settings; duplicates and unknown entities are searched in temporary tables.
        rules: Limits on files and on bad rows, and number of rows to read at a time.
        repo: Feature repo that declares the source tables.
        folder: Folder of the drop.
        as_of: Date that the drop describes.
        progress: Called after each chunk.
        key: Key of the list of erasures; needed once somebody was erased.

    Raises:
        UsageError: The folder does not exist.
        Refused: The key is missing.
    """
    found, problems = files.find(repo.tables, folder, rules.max_file_bytes)
    with transaction(database) as connection:
        meter = _Meter(progress, sum(file.size for file in found))
        staged = _stage(connection, rules, found, as_of, meter, key)
        rejected = connection.execute(
            sa.text(
                f"SELECT file, line, column_name, value, reason FROM {stage.QUARANTINE} ORDER BY file, line"
            )
        )
        shown = tuple(
            f"{row.file} {stage.described(row.line, row.column_name, row.value, row.reason)}"
            for row in rejected.fetchmany(100)
        )
        connection.rollback()  # drops the temporary tables
    return Examined(
        tables=tuple(_outcome(item) for item in staged),
        problems=(*problems, *(problem for item in staged for problem in item.problems)),
        rejected=shown,
        notes=_notes(staged),
    )


def _require_past(connection: sa.Connection, as_of: date) -> None:
    today = clock.today(connection)
    if as_of > today:
        raise UsageError(
            f"The as-of {as_of} is in the future; the database's date is {today} (UTC).",
            hint="A drop describes the past: correct --as-of or the folder's name.",
        )
    if as_of < parse.FIRST_DATE:
        raise UsageError(
            f"The as-of {as_of} is before {parse.FIRST_DATE}, the first date that a drop may contain.",
            hint="Correct --as-of or the folder's name.",
        )


def _stage(
    connection: sa.Connection,
    rules: IngestSettings,
    found: list[files.DropFile],
    as_of: date,
    meter: _Meter,
    key: Key | None,
) -> list[stage.StagedFile]:
    chunk_rows = rules.chunk_rows
    usable = listed.usable(listed.read(connection), key)
    staged = stage.stage(connection, found, as_of, chunk_rows, meter.moved, usable)
    for item in staged:
        stage.judge(connection, item, rules.max_bad_share)
    if not any(item.problems for item in staged):
        # This reads the files a second time, so it is left out for a drop that is refused anyway.
        for item in staged:
            stage.add_raw_text(connection, item, chunk_rows)
    return staged


def _refusal(folder: Path, problems: list[str]) -> DropRefused:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return DropRefused(
        f"The drop in {shown_path(folder)} is refused: {count}. Nothing was stored.",
        details=tuple(problems),
        hint=_CORRECT,
    )


def _unchanged(connection: sa.Connection, repo: FeatureRepo, known: ledger.LedgerEntry) -> IngestOutcome:
    order = {table.name: at for at, table in enumerate(repo.tables)}
    outcomes = tuple(
        TableOutcome(item.table, item.file, item.lines, item.accepted, item.quarantined)
        for item in sorted(
            ledger.files(connection, known.drop_id), key=lambda file: order.get(file.table, len(order))
        )
    )
    return IngestOutcome(known.drop_id, known.as_of, False, known.loaded_at, outcomes)


def _outcome(item: stage.StagedFile) -> TableOutcome:
    return TableOutcome(item.file.table.name, item.file.name, item.lines, item.accepted, item.quarantined)


def _notes(staged: list[stage.StagedFile]) -> tuple[str, ...]:
    return tuple(f"{item.file.name}: {note}" for item in staged for note in item.notes)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user id may have no entry in /etc/passwd.
        return "unknown"

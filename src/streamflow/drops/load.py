"""Take a drop: one transaction writes ledger, source tables and quarantine, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.drops import files, ledger, stage, store, tables
from streamflow.drops.read import Progress
from streamflow.errors import DropRefused, UsageError
from streamflow.postgres import locks
from streamflow.postgres.engine import transaction
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings


@dataclass(frozen=True)
class TableOutcome:
    """What became of one file: `accepted` + `quarantined` = `lines`, its records without the header."""

    table: str
    file: str
    lines: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class IngestOutcome:
    """What became of a drop.

    Attributes:
        drop_id: Its name in the ledger.
        as_of: The date that it is about.
        changed: False when the newest drop of this date has the same content, so that nothing was stored.
        loaded_at: When it was learnt, by the database's clock; the same on all of its rows.
        tables: One outcome per file.
        notes: What was accepted although it is unusual.
    """

    drop_id: str
    as_of: date
    changed: bool
    loaded_at: datetime
    tables: tuple[TableOutcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> dict[str, int]:
        """Good rows by table."""
        return {item.table: item.accepted for item in self.tables}

    @property
    def quarantined(self) -> dict[str, int]:
        """Rejected rows by table."""
        return {item.table: item.quarantined for item in self.tables}


@dataclass(frozen=True)
class Examined:
    """What would become of a drop: outcomes by file, reasons to refuse it whole, the first rejected rows."""

    tables: tuple[TableOutcome, ...]
    problems: tuple[str, ...]
    rejected: tuple[str, ...]
    notes: tuple[str, ...]


class _Meter:
    """Adds up the bytes of all files for the progress display."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def moved(self, file: str, size: int) -> None:
        self._done += size
        self.step(f"reading {file}")

    def step(self, text: str) -> None:
        if self._progress is not None:
            self._progress(text, self._done, self._total)


def ingest(
    settings: Settings,
    repo: FeatureRepo,
    folder: Path,
    as_of: date,
    *,
    loaded_by: str,
    progress: Progress | None = None,
) -> IngestOutcome:
    """Take the drop in `folder` as the state of the world on `as_of`.

    Content that is already the newest of that date changes nothing, whatever its folder is called. Other
    content for a known date is a correction: a new drop beside the old one.

    Args:
        loaded_by: Who or what loads it, for the ledger.
        progress: Told about every chunk.

    Raises:
        UsageError: there is no such folder, or the date lies in the future.
        DropRefused: the drop cannot be taken; every problem is listed, and the database is as before.
        Refused: another ingest is running.
        DependencyDown: PostgreSQL does not answer.
    """
    found, problems = files.find(repo.tables, folder)
    content = files.digest(found)
    with transaction(settings) as connection:
        locks.take(connection, locks.INGEST)
        _refuse_future(connection, as_of)
        known = ledger.newest(connection, as_of)
        if known is not None and known.digest == content and not problems:
            return _unchanged(connection, repo, known)
        tables.ensure(connection, repo)
        meter = _Meter(progress, sum(file.size for file in found))
        staged = _stage(connection, settings, found, as_of, meter)
        problems += [problem for item in staged for problem in item.problems]
        if problems:
            raise _refusal(folder, problems)
        sequence = known.sequence + 1 if known else 1
        drop = store.Drop(
            drop_id=files.drop_id(as_of, sequence, content),
            as_of=as_of,
            sequence=sequence,
            digest=content,
            loaded_by=loaded_by,
            origin=str(folder.resolve()),
        )
        loaded_at = store.store(connection, drop, staged, meter.step)
        # Within the transaction: whoever sees the rows plans with what they are.
        meter.step("analyzing")
        store.analyze(connection, repo)
    outcomes = tuple(_outcome(item) for item in staged)
    return IngestOutcome(drop.drop_id, as_of, True, loaded_at, outcomes, _notes(staged))


def examine(
    settings: Settings, repo: FeatureRepo, folder: Path, as_of: date, *, progress: Progress | None = None
) -> Examined:
    """Do all of the checks of `ingest` and store nothing.

    Raises:
        UsageError: there is no such folder.
    """
    found, problems = files.find(repo.tables, folder)
    with transaction(settings) as connection:
        meter = _Meter(progress, sum(file.size for file in found))
        staged = _stage(connection, settings, found, as_of, meter)
        rejected = connection.execute(
            sa.text(
                f"SELECT file, line, column_name, value, reason FROM {stage.QUARANTINE} ORDER BY file, line"
            )
        )
        shown = tuple(
            f"{row.file} {stage.described(row.line, row.column_name, row.value, row.reason)}"
            for row in rejected.fetchmany(100)
        )
        connection.rollback()  # the temporary tables vanish with it
    return Examined(
        tables=tuple(_outcome(item) for item in staged),
        problems=(*problems, *(problem for item in staged for problem in item.problems)),
        rejected=shown,
        notes=_notes(staged),
    )


def _refuse_future(connection: sa.Connection, as_of: date) -> None:
    today: date = connection.execute(
        sa.text("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
    ).scalar_one()
    if as_of > today:
        raise UsageError(
            f"The as-of {as_of} lies in the future; for the database today is {today} (UTC).",
            hint="A drop tells what was: correct --as-of or the folder's name.",
        )


def _stage(
    connection: sa.Connection, settings: Settings, found: list[files.DropFile], as_of: date, meter: _Meter
) -> list[stage.StagedFile]:
    chunk_rows = settings.ingest.chunk_rows
    staged = stage.stage(connection, found, as_of, chunk_rows, meter.moved)
    for item in staged:
        stage.judge(connection, item, settings.ingest.max_bad_share)
    if not any(item.problems for item in staged):
        for item in staged:
            stage.add_raw_text(connection, item, chunk_rows)
    return staged


def _refusal(folder: Path, problems: list[str]) -> DropRefused:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return DropRefused(
        f"The drop in {folder} is refused: {count}. Nothing was stored.",
        details=tuple(problems),
        hint="Correct the files and ingest again; 'streamflow drops check DIR' checks without storing.",
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

"""Take a drop: one transaction writes ledger, source tables and quarantine, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.database import engine, lock_key, quote, transaction, try_lock
from streamflow.drops import files, ledger, stage, tables
from streamflow.drops.read import Progress
from streamflow.errors import DropRefused, Refused, UsageError
from streamflow.repo import FeatureRepo
from streamflow.settings import Settings

LOCK = "ingest"
"""Advisory lock: one ingest at a time."""

LOADING = "loading"
"""Advisory lock from the choice of a drop's loaded-at to its commit. Who asks for the present known-at takes it
shared, and so cannot get a time at which the drop was loaded by the clock, but not to be seen yet."""


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
    """What would become of a drop: outcomes by file, reasons to refuse it whole, and the first rejected records."""

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

    Content that is already the newest of that date changes nothing, whatever its folder is called. Other content
    for a known date is a correction: a new drop beside the old one.

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
        if not try_lock(connection, LOCK):
            raise Refused(
                "Another 'ingest' is running.", hint="Wait until it has ended, then run this again."
            )
        _refuse_future(connection, as_of)
        known = ledger.newest(connection, as_of)
        if known is not None and known.digest == content and not problems:
            return _unchanged(connection, known)
        tables.ensure(connection, repo)
        meter = _Meter(progress, sum(file.size for file in found))
        staged = _stage(connection, settings, found, as_of, meter)
        problems += [problem for item in staged for problem in item.problems]
        if problems:
            raise _refusal(folder, problems)
        meter.step("storing")
        outcome = _store(connection, staged, folder, as_of, content, known, loaded_by)
    meter.step("analyzing")
    _analyze(settings, repo)
    return outcome


def examine(
    settings: Settings, repo: FeatureRepo, folder: Path, as_of: date, *, progress: Progress | None = None
) -> Examined:
    """Do all of the checks of `ingest` and store nothing.

    Raises:
        UsageError: there is no such folder.
    """
    found, problems = files.find(repo.tables, folder)
    # Never committed, so the temporary tables vanish.
    with engine(settings).connect() as connection:
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
        connection.rollback()
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
            hint="A drop tells what was, so its as-of is today or earlier: correct --as-of or the folder's name.",
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


def _unchanged(connection: sa.Connection, known: ledger.LedgerEntry) -> IngestOutcome:
    outcomes = tuple(
        TableOutcome(item.table, item.file, item.lines, item.accepted, item.quarantined)
        for item in ledger.files(connection, known.drop_id)
    )
    return IngestOutcome(known.drop_id, known.as_of, False, known.loaded_at, outcomes)


def _store(
    connection: sa.Connection,
    staged: list[stage.StagedFile],
    folder: Path,
    as_of: date,
    content: str,
    known: ledger.LedgerEntry | None,
    loaded_by: str,
) -> IngestOutcome:
    sequence = known.sequence + 1 if known else 1
    name = files.drop_id(as_of, sequence, content)
    loaded_at = _loaded_at(connection)
    connection.execute(
        sa.text(
            "INSERT INTO streamflow.drops (drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted,"
            " quarantined) VALUES (:drop_id, :as_of, :sequence, :digest, :loaded_at, :loaded_by, :origin, :accepted,"
            " :quarantined)"
        ),
        {
            "drop_id": name,
            "as_of": ledger.midnight(as_of),
            "sequence": sequence,
            "digest": content,
            "loaded_at": loaded_at,
            "loaded_by": loaded_by,
            "origin": str(folder.resolve()),
            "accepted": sum(item.accepted for item in staged),
            "quarantined": sum(item.quarantined for item in staged),
        },
    )
    for item in staged:
        _store_file(connection, item, name, as_of, loaded_at)
    connection.execute(
        sa.text(
            "INSERT INTO streamflow.quarantine (drop_id, table_name, file, line, column_name, reason, value, raw)"
            f" SELECT :drop_id, table_name, file, line, column_name, reason, value, coalesce(raw, '')"
            f" FROM {stage.QUARANTINE} ORDER BY table_name, line"
        ),
        {"drop_id": name},
    )
    return IngestOutcome(
        name, as_of, True, loaded_at, tuple(_outcome(item) for item in staged), _notes(staged)
    )


def _loaded_at(connection: sa.Connection) -> datetime:
    """The present time of the database, later than that of every drop even if the clock was put back."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(LOADING)})
    loaded_at: datetime = connection.execute(
        sa.text(
            "SELECT greatest(clock_timestamp(), max(loaded_at) + interval '1 microsecond') FROM streamflow.drops"
        )
    ).scalar_one()
    return loaded_at.astimezone(UTC)


def _store_file(
    connection: sa.Connection, item: stage.StagedFile, name: str, as_of: date, loaded_at: datetime
) -> None:
    file, table = item.file, item.file.table
    connection.execute(
        sa.text(
            "INSERT INTO streamflow.drop_files (drop_id, table_name, file, sha256, bytes, lines, accepted, quarantined)"
            " VALUES (:drop_id, :table, :file, :sha256, :bytes, :lines, :accepted, :quarantined)"
        ),
        {
            "drop_id": name,
            "table": table.name,
            "file": file.name,
            "sha256": file.sha256,
            "bytes": file.size,
            "lines": item.lines,
            "accepted": item.accepted,
            "quarantined": item.quarantined,
        },
    )
    columns = ", ".join(quote(column) for column in table.column_names)
    stored = connection.execute(
        # In the order of the key, so that the index grows at its end and a user's rows lie together.
        sa.text(
            f"INSERT INTO {quote(tables.SCHEMA, table.name)} ({columns}, as_of, loaded_at, drop_id)"
            f" SELECT {columns}, :as_of, :loaded_at, :drop_id FROM {stage.staged(table)} ORDER BY {quote(table.key)}"
        ),
        {"as_of": ledger.midnight(as_of), "loaded_at": loaded_at, "drop_id": name},
    ).rowcount
    if stored != item.accepted or item.accepted + item.quarantined != item.lines:
        raise AssertionError(
            f"{file.name}: {item.lines} records, {item.accepted} accepted, {item.quarantined} quarantined, {stored} stored"
        )


def _outcome(item: stage.StagedFile) -> TableOutcome:
    return TableOutcome(item.file.table.name, item.file.name, item.lines, item.accepted, item.quarantined)


def _notes(staged: list[stage.StagedFile]) -> tuple[str, ...]:
    return tuple(f"{item.file.name}: {note}" for item in staged for note in item.notes)


def _analyze(settings: Settings, repo: FeatureRepo) -> None:
    # The planner has to know the new rows before the point-in-time join of a training.
    with transaction(settings) as connection:
        for table in repo.tables:
            connection.exec_driver_sql(f"ANALYZE {quote(tables.SCHEMA, table.name)}")

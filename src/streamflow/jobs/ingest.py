"""Recipe of the job `ingest`: ingest the new drops in the inbox; also, drops that a caller names."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from streamflow.drops import inbox, ledger, load
from streamflow.drops.load import IngestOutcome
from streamflow.drops.read import Progress
from streamflow.drops.rows import rows_in
from streamflow.erasure.key import optional
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import IngestedDrop, IngestResult
from streamflow.repo import definitions
from streamflow.settings import Settings


def ingest(settings: Settings) -> IngestResult:
    """Ingest every drop in the inbox, up to `ingest.until`, whose date is not in the ledger yet, oldest first.

    Raises:
        DependencyDown: The object store or PostgreSQL does not answer.
        DropRefused: A drop was refused; the others are stored.
    """
    with transaction(settings.database) as connection:
        known = ledger.dates(connection)
    repo = definitions.load(settings.feast.repo)
    with inbox.opened(settings.ingest, known) as (root, provided):
        done = load.load_new(_into(settings), settings.ingest, repo, root, "job ingest", provided=provided)
    return IngestResult(tuple(map(_result, done)))


def ingest_folders(
    settings: Settings, root: Path, loaded_by: str | None = None, progress: Progress | None = None
) -> list[IngestOutcome]:
    """Ingest every dated drop below `root` whose date is not in the ledger yet; see `drops.load.load_new`."""
    repo = definitions.load(settings.feast.repo)
    return load.load_new(_into(settings), settings.ingest, repo, root, loaded_by, progress)


def ingest_folder(
    settings: Settings,
    folder: Path,
    as_of: date | None = None,
    loaded_by: str | None = None,
    progress: Progress | None = None,
) -> IngestOutcome:
    """Ingest one drop; without `as_of`, the folder's name is its as-of date. See `drops.load.load`."""
    when, located = as_of or inbox.as_of(folder), inbox.located(folder)
    repo = definitions.load(settings.feast.repo)
    return load.load(_into(settings), settings.ingest, repo, located, when, loaded_by, progress)


def _into(settings: Settings) -> load.Into:
    return load.Into(settings.database, rows_in(settings.rows_in_lake), optional(settings.erasure))


def _result(of: IngestOutcome) -> IngestedDrop:
    return IngestedDrop(of.drop_id, of.as_of, of.changed, of.loaded_at, of.accepted, of.quarantined)

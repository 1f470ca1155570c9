"""Recipe: a folder of CSV files -> source tables, ledger and quarantine."""

from __future__ import annotations

import calendar
import getpass
import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from streamflow.drops import ledger, load
from streamflow.drops.load import IngestOutcome
from streamflow.drops.read import Progress
from streamflow.errors import DropRefused, UsageError
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import Settings

FIRST_AS_OF = date(2024, 1, 31)
"""As-of of `month_000` in folders that are numbered instead of dated."""

MARKERS = ("_INCOMPLETE", "*.part", "*.tmp")
"""Files that say a drop is still being written."""

QUIET_SECONDS = 5.0
"""How long the files of a drop must have been left alone before `ingest_all` takes it."""

PATIENCE_SECONDS = 30.0
"""How long `ingest_all` waits for that before it leaves the drop for the next time."""

_MONTH = re.compile(r"month_(\d{3})")


def ingest(
    settings: Settings,
    folder: Path,
    as_of: date | None = None,
    loaded_by: str | None = None,
    progress: Progress | None = None,
) -> IngestOutcome:
    """Take one drop; its as-of is the name of its folder when none is given.

    Raises:
        UsageError: no date was given and the folder's name is none, or see `drops.load.ingest`.
        DropRefused: the drop cannot be taken.
    """
    when = as_of or as_of_of(folder)
    repo = definitions.load(settings.feast.repo)
    return load.ingest(settings, repo, folder, when, loaded_by=loaded_by or _who(), progress=progress)


def ingest_all(
    settings: Settings, root: Path, loaded_by: str | None = None, progress: Progress | None = None
) -> list[IngestOutcome]:
    """Take every dated drop below `root` whose date is not in the ledger yet, oldest first.

    A corrected drop of a known date is taken by naming it, never by finding it. A folder that changed a moment
    ago is waited for; one that goes on changing, or is marked as incomplete, is left for the next time.

    Raises:
        UsageError: there is no such folder.
        DropRefused: drops cannot be taken; the others were.
    """
    known = taken(settings)
    outcomes, problems = [], []
    for when, folder in dated_folders(root):
        if when in known or not settles(folder):
            continue
        try:
            outcomes.append(ingest(settings, folder, when, loaded_by, progress))
        except DropRefused as refusal:
            # Months do not depend on each other: one bad drop must not keep the next ones out.
            problems += [f"{folder.name}: {problem}" for problem in refusal.details]
    if problems:
        stored = ", ".join(outcome.drop_id for outcome in outcomes) or "none"
        raise DropRefused(
            f"Drops in {root} are refused. Stored: {stored}.",
            details=tuple(problems),
            hint="Correct the files and ingest again; 'streamflow drops check DIR' checks without storing.",
        )
    return outcomes


def taken(settings: Settings) -> set[date]:
    """The dates of which the ledger has a drop."""
    with transaction(settings) as connection:
        return {entry.as_of for entry in ledger.entries(connection)}


def dated_folders(root: Path, first_as_of: date = FIRST_AS_OF) -> list[tuple[date, Path]]:
    """The drops below `root` and their as-of, oldest first.

    A folder is named by its date (2024-01-31) or by a number of months after `first_as_of` (month_000; month
    ends stay month ends). Other folders are no drops.

    Raises:
        UsageError: there is no such folder, or two folders are of one date.
    """
    if not root.is_dir():
        raise UsageError(
            f"There is no folder '{root}'.", hint="Name the folder that holds the drops' folders."
        )
    found: dict[date, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        when = date_of(folder.name, first_as_of)
        if when is None:
            continue
        if when in found:
            raise UsageError(
                f"'{found[when].name}' and '{folder.name}' are both the drop of {when}.",
                hint="Keep one of them, or ingest each with --as-of.",
            )
        found[when] = folder
    return sorted(found.items())


def date_of(name: str, first_as_of: date = FIRST_AS_OF) -> date | None:
    """The date that a folder's name stands for; None when it is no drop. Pure."""
    numbered = _MONTH.fullmatch(name)
    return month_later(first_as_of, int(numbered[1])) if numbered else _dated(name)


def month_later(day: date, months: int) -> date:
    """The same day `months` later, at most the month's last; the last of a month stays the last."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    last = calendar.monthrange(year, month)[1]
    at_end = day.day == calendar.monthrange(day.year, day.month)[1]
    return date(year, month, last if at_end else min(day.day, last))


def as_of_of(folder: Path) -> date:
    """The as-of of a drop whose folder is named by it.

    Raises:
        UsageError: it is not.
    """
    when = _dated(folder.resolve().name)
    if when is None:
        raise UsageError(
            f"The folder's name, '{folder.resolve().name}', is not the date of the drop.",
            hint="Say when: --as-of 2024-01-31.",
        )
    return when


def settles(
    folder: Path, patience: float = PATIENCE_SECONDS, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Whether the drop is left alone for `QUIET_SECONDS`, at the latest after `patience` seconds.

    Somebody who copies a drop and starts the job at once finds it taken, not left until tomorrow.
    """
    while not any(True for marker in MARKERS for _ in folder.glob(marker)):
        still = QUIET_SECONDS - (time.time() - changed_at(folder))
        if still <= 0:
            return True
        if still > patience:
            return False
        pause(still)
        patience -= still
    return False


def changed_at(folder: Path) -> float:
    """When the folder or a file of it was last written, in seconds since 1970."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


def _dated(name: str) -> date | None:
    try:
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return "unknown"

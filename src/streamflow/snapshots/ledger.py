"""Questions to the ledger of drops: what was known at K, which drop dates there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from streamflow.errors import NotFound, NotYet, UsageError
from streamflow.postgres import clock


@dataclass(frozen=True)
class LoadedDrop:
    """A row of the ledger, as far as training and materialization need it."""

    drop_id: str
    as_of: datetime
    digest: str
    loaded_at: datetime


def midnight(day: date) -> datetime:
    """The as-of of a date: its midnight in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def known_now(connection: sa.Connection) -> datetime:
    """The present time of the database: the known-at of a run that is given none.

    Waits for a drop that has its loaded-at and is not committed yet; else it would be visible at this known-at
    for a later run, but not for this one.
    """
    return clock.known_now(connection)


def known_until(connection: sa.Connection, known_at: datetime | None) -> datetime:
    """The known-at of a run: the given one, or the present time.

    Raises:
        UsageError: it is in the future, so that a later run with it might see more.
    """
    now = known_now(connection)
    if known_at is not None and known_at > now:
        raise UsageError(
            f"{known_at.isoformat(timespec='seconds')} is in the future: nobody knows yet what will be known then.",
            hint="Leave --known-at out to train on what is known now.",
        )
    return known_at or now


def drops(connection: sa.Connection, known_at: datetime) -> list[LoadedDrop]:
    """Drops loaded up to `known_at`, by as-of, then in order of loading."""
    rows = connection.execute(
        sa.text(
            "SELECT drop_id, as_of, digest, loaded_at FROM streamflow.drops WHERE loaded_at <= :known_at"
            " ORDER BY as_of, sequence"
        ),
        {"known_at": known_at},
    )
    return [
        LoadedDrop(row.drop_id, row.as_of.astimezone(UTC), row.digest, row.loaded_at.astimezone(UTC))
        for row in rows
    ]


def newest_as_of(loaded: list[LoadedDrop], as_of: date | None = None) -> datetime:
    """The newest drop date up to `as_of` (or at all).

    Raises:
        NotFound: no drop is that old.
        NotYet: none was ever loaded.
    """
    dates = [drop.as_of for drop in loaded if as_of is None or drop.as_of <= midnight(as_of)]
    if not dates:
        load = "Load one with 'streamflow ingest DIR --as-of DATE'."
        if not loaded:
            raise NotYet("There is no drop.", hint=load)
        known = ", ".join(sorted({str(drop.as_of.date()) for drop in loaded}))
        raise NotFound(f"There is no drop as of {as_of}.", hint=f"Loaded as-of dates: {known}. {load}")
    return max(dates)


def label_as_of(loaded: list[LoadedDrop], as_of: date, horizon: int) -> datetime:
    """The drop date whose labels belong to features as of `as_of`.

    Horizon 0 is the newest drop up to `as_of`; horizon n the n-th drop date after that one.

    Raises:
        NotFound: that drop has not been loaded (yet).
    """
    base = newest_as_of(loaded, as_of)
    later = sorted({drop.as_of for drop in loaded if drop.as_of > base})
    if horizon == 0:
        return base
    if len(later) < horizon:
        raise NotFound(
            f"The label of horizon {horizon} for {base.date()} is not known: only {len(later)} later drop(s) are loaded.",
            hint="Ingest the later drop, or train an earlier as-of, or use --horizon 0.",
        )
    return later[horizon - 1]


def parse_known_at(text: str) -> datetime:
    """Read a known-at: ISO 8601, in UTC unless it says otherwise.

    Raises:
        UsageError: not a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is no time.", hint="Write it like 2024-03-01T12:00:00+00:00 (ISO 8601)."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

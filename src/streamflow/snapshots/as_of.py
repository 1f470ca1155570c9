"""Choose the drop date that features as of a date come from, and the drop date of their labels. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from streamflow.errors import NotFound, NotYet, UsageError
from streamflow.times import midnight

_NAMED_DATES = 12
"""Dates that an error names at most."""


def of_a_drop(dates: Collection[date], as_of: date | None = None) -> datetime:
    """The drop date to train as of: `as_of` itself, or the newest.

    A model as of a date without a drop would be one of the drop before it under a newer name.

    Args:
        dates: Dates of the loaded drops.
        as_of: The date that was asked for; None selects the newest.

    Raises:
        UsageError: No loaded drop has this date.
        NotYet: No drop has been loaded yet.
    """
    newest = newest_as_of(dates)
    if as_of is None:
        return newest
    if as_of in dates:
        return midnight(as_of)
    known = sorted(set(dates), reverse=True)
    named = ", ".join(str(day) for day in known[:_NAMED_DATES])
    older = f" and {len(known) - _NAMED_DATES} older ones" if len(known) > _NAMED_DATES else ""
    raise UsageError(
        f"There is no drop as of {as_of}, so there is nothing of that date to train on.",
        hint=f"Name the date of a drop: {named}{older}; or load the drop of {as_of} first.",
    )


def newest_as_of(dates: Collection[date], as_of: date | None = None) -> datetime:
    """The newest drop date up to `as_of`.

    Args:
        dates: Dates of the loaded drops.
        as_of: Latest date to consider; None considers all.

    Raises:
        NotFound: Every loaded drop is newer than `as_of`.
        NotYet: No drop has been loaded yet.
    """
    until = [day for day in dates if as_of is None or day <= as_of]
    if not until:
        load = "Load one with 'streamflow ingest DIR --as-of DATE'."
        if not dates:
            raise NotYet("There is no drop.", hint=load)
        known = ", ".join(sorted({str(day) for day in dates}))
        raise NotFound(f"There is no drop as of {as_of}.", hint=f"Loaded as-of dates: {known}. {load}")
    return midnight(max(until))


def label_as_of(dates: Collection[date], as_of: date, horizon: int) -> datetime:
    """The drop date whose labels belong to features as of `as_of`.

    Args:
        dates: Dates of the loaded drops.
        as_of: Date of the features.
        horizon: 0 selects the newest drop date up to `as_of`; n selects the n-th drop date after that one.

    Raises:
        NotFound: The drop with these labels has not been loaded.
        NotYet: No drop has been loaded yet.
    """
    base = newest_as_of(dates, as_of)
    later = sorted({day for day in dates if day > base.date()})
    if horizon == 0:
        return base
    if len(later) < horizon:
        raise NotFound(
            f"The label of horizon {horizon} for {base.date()} is not known: only {len(later)} later drop(s) are loaded.",
            hint="Ingest the later drop, or train an earlier as-of, or use --horizon 0.",
        )
    return midnight(later[horizon - 1])

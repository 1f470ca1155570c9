"""Months as the dates of their drops."""

from __future__ import annotations

import calendar
from datetime import date

from streamflow.errors import UsageError

_MOST_MONTHS = 240


def ends_of_months(first: date, last: date) -> list[date]:
    """Last day of each month from that of `first` to that of `last`. Pure.

    Raises:
        UsageError: The last month is before the first, or there are more than 240.
    """
    start, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    if end < start:
        raise UsageError(
            f"The last month, {last:%Y-%m}, is before the first, {first:%Y-%m}.", hint="Exchange them."
        )
    if end - start >= _MOST_MONTHS:
        raise UsageError(
            f"A backfill has at most {_MOST_MONTHS} months.", hint="Run several, one after the other."
        )
    months = [divmod(number, 12) for number in range(start, end + 1)]
    return [date(year, number + 1, calendar.monthrange(year, number + 1)[1]) for year, number in months]

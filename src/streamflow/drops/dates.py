"""The date of a drop, as the name of its folder says it."""

from __future__ import annotations

import calendar
import re
from datetime import date

FIRST_AS_OF = date(2024, 1, 31)
"""As-of of the folder `month_000`, for drops whose folders are numbered instead of dated."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MONTH = re.compile(r"month_(\d{3})", re.ASCII)
_LIKE_A_DATE = re.compile(r"[\d\W_]+")
_LIKE_A_MONTH = re.compile(r"month[\W_]*\d+", re.IGNORECASE)


def date_of(name: str, first_as_of: date = FIRST_AS_OF) -> date | None:
    """Return the as-of date that a folder's name stands for, or None if the folder is not a drop."""
    numbered = _MONTH.fullmatch(name)
    return month_later(first_as_of, int(numbered[1])) if numbered else exact_date(name)


def exact_date(name: str) -> date | None:
    """Return the date that a name states exactly like 2024-01-31, or None."""
    if not _DATE.fullmatch(name):
        return None
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def resembles_a_date(name: str) -> bool:
    """Whether a name that is not exactly a date was meant as one: 2024-3-31, 31.03.2024, 20240331, month_3."""
    if name.startswith((".", "_")):
        # Names of hidden folders, and of folders that are being written.
        return False
    if _LIKE_A_MONTH.fullmatch(name):
        return True
    numbers = re.findall(r"\d+", name)
    return _LIKE_A_DATE.fullmatch(name) is not None and (len(numbers) > 1 or len("".join(numbers)) >= 6)


def month_later(day: date, months: int) -> date:
    """Add months to a date, clamped to the end of the month; the last day of a month stays the last day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    last = calendar.monthrange(year, month)[1]
    at_end = day.day == calendar.monthrange(day.year, day.month)[1]
    return date(year, month, last if at_end else min(day.day, last))

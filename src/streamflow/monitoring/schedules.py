"""How often a cron schedule runs a job, as Kubernetes reads it. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MINUTES, _HOURS, _DAYS_OF_MONTH, _MONTH, _DAYS_OF_WEEK = (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)
_FIRST, _LOOKED_AT = date(2024, 1, 1), 9 * 366
"""Days in which the longest time between two runs is looked for: they contain several leap years."""
_DAY = 86400


def longest_pause(schedule: str) -> float:
    """The longest time between two runs, in seconds; the time zone's changes of the clock are left out.

    Args:
        schedule: Five fields of cron, or a name such as `@daily`.

    Raises:
        ValueError: The text is not a schedule, or one that never comes.
    """
    fields = _NAMED.get(schedule.strip().lower(), schedule).split()
    if len(fields) != 5:
        raise ValueError(f"'{schedule}' is not a schedule of five fields")
    try:
        times = sorted(
            3600 * hour + 60 * minute
            for hour in _values(fields[1], _HOURS)
            for minute in _values(fields[0], _MINUTES)
        )
        days = _days(fields[2], fields[3], fields[4])
    except ValueError as error:
        raise ValueError(f"'{schedule}' is not a schedule: {error}") from error
    if len(days) < 2:
        raise ValueError(f"'{schedule}' never comes, or only once in years")
    within = max((later - earlier for earlier, later in pairwise(times)), default=0)
    overnight = max((later - earlier).days for earlier, later in pairwise(days)) * _DAY - times[-1] + times[0]
    return float(max(within, overnight))


def _days(of_month: str, months: str, of_week: str) -> list[date]:
    """Days on which it runs. If both kinds of days are limited, one of them is enough."""
    in_month, month, in_week = (
        _values(of_month, _DAYS_OF_MONTH),
        _values(months, _MONTH, _MONTHS),
        _week(of_week),
    )
    either = not of_month.startswith(("*", "?")) and not of_week.startswith(("*", "?"))

    def runs(day: date) -> bool:
        by_month, by_week = day.day in in_month, (day.isoweekday() % 7) in in_week
        return day.month in month and ((by_month or by_week) if either else (by_month and by_week))

    looked_at = (_FIRST + timedelta(days=number) for number in range(_LOOKED_AT))
    return [day for day in looked_at if runs(day)]


def _week(text: str) -> set[int]:
    # 7 is Sunday, too.
    return {day % 7 for day in _values(text, (0, 7), _DAYS)} if text not in ("*", "?") else set(range(7))


def _values(text: str, limits: tuple[int, int], names: tuple[str, ...] = ()) -> set[int]:
    """The numbers that a field stands for: a list of numbers, names, ranges and steps."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        low, dash, high = span.partition("-")
        if span in ("*", "?"):
            first, last = limits
        else:
            first = _number(low, limits, names)
            # A number with a step starts a range that goes on to the end.
            last = _number(high, limits, names) if dash else limits[1] if step else first
        by = int(step) if step else 1
        if first > last or by < 1:
            raise ValueError(f"'{part}' is empty")
        found |= set(range(first, last + 1, by))
    return found


def _number(text: str, limits: tuple[int, int], names: tuple[str, ...]) -> int:
    name = text.lower()
    value = names.index(name) + (1 if names is _MONTHS else 0) if name in names else int(text)
    if not limits[0] <= value <= limits[1]:
        raise ValueError(f"{text} is not between {limits[0]} and {limits[1]}")
    return value

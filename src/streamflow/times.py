"""Dates and times as users write them and tables contain them: always in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime

from streamflow.errors import UsageError


def midnight(day: date) -> datetime:
    """The as-of of a date: its midnight in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def parse_day(text: str) -> date:
    """Read a date in ISO 8601.

    Raises:
        UsageError: The text is not a date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text}' is not a date.", hint="Write it like 2024-01-31.") from None


def parse_moment(text: str) -> datetime:
    """Read a time in ISO 8601; it is in UTC unless it names another zone.

    Raises:
        UsageError: The text is not a valid time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is not a valid time.", hint="Write it like 2024-03-01T12:00:00+00:00 (ISO 8601)."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

"""Dates and times as a user types them, as options of commands."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated

import typer

from streamflow.errors import UsageError
from streamflow.times import parse_day


def day(text: str) -> date:
    """A date from what a user typed.

    Raises:
        typer.BadParameter: The text is not a date.
    """
    try:
        return parse_day(text)
    except UsageError:
        raise typer.BadParameter(f"'{text}' is not a date; write it like 2024-01-31.") from None


AsOf = Annotated[
    date | None,
    typer.Option(
        metavar="DATE",
        parser=day,
        help="As-of date, after which no data is used; default: that of the newest drop.",
    ),
]

DropDate = Annotated[
    date | None,
    typer.Option(
        metavar="DATE",
        parser=day,
        help="As-of date of the drop to use, after which no data is used; default: the newest drop's.",
    ),
]

Month = Annotated[
    date | None, typer.Option(metavar="DATE", parser=day, help="The month to show; default: all.")
]


def days_of(text: str) -> tuple[date, date]:
    """First and last date of what a user typed: a date, or a month such as 2024-02.

    Raises:
        typer.BadParameter: The text is neither.
    """
    if not re.fullmatch(r"\d{4}-\d\d", text):
        return (day(text), day(text))
    try:
        first = parse_day(f"{text}-01")
    except UsageError:
        raise typer.BadParameter(f"'{text}' is not a month; write it like 2024-01, or a date.") from None
    # The 28th and four days are in the next month, whose first day follows the last one.
    following = first.replace(day=28) + timedelta(days=4)
    return (first, following - timedelta(days=following.day))

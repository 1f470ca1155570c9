"""Dates and times as a user types them, as options of commands."""

from __future__ import annotations

from datetime import date
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

"""What commands print: one JSON document for scripts, tables for people, traces for who looks for a bug."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import os
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Why = Annotated[str, typer.Option(help="The reason, as recorded in the history.")]
By = Annotated[str | None, typer.Option(help="Who does this, as recorded in the history; default: you.")]


def print_json(document: object) -> None:
    """Print one JSON document; dataclasses become objects, dates ISO 8601."""
    typer.echo(json.dumps(document, default=_plain, indent=2))


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str = "",
    grouped: bool = False,
    below: Sequence[str] = (),
) -> None:
    """Print rows under a header; None becomes an empty cell, numbers stand right.

    A table that is wider than the terminal has cells of several lines. A pipe gets each row in one line.

    Args:
        grouped: Whole numbers are counts: 7,043 instead of 7043.
        below: Columns that stand under their row, each with its name, where the table is wider than the terminal.
    """
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    cells = [[_cell(value, grouped=grouped) for value in row] for row in rows]
    columns = [list(column) for column in zip(header, *cells, strict=True)]
    whole = sum(max(map(len, texts)) + _GAP for texts in columns)
    watched = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console() if watched else Console(width=max(whole, 80))
    if below and whole > console.width:
        typer.echo("\n".join(stacked(header, cells, below, console.width)))
        return
    widths = column_widths(columns, console.width)
    # Without lines between the columns, most tables fit into 80 characters.
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    table.padding = (0, 1, 0, 0)
    for position, name in enumerate(header):
        numeric = any(isinstance(row[position], int | float) for row in rows)
        table.add_column(
            name, justify="right" if numeric else "left", overflow="fold", width=widths[position]
        )
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)


def stacked(
    header: Sequence[str], cells: Sequence[Sequence[str]], below: Sequence[str], room: int
) -> list[str]:
    """Lines of a table whose columns `below` stand under their row, as paragraphs of at most `room` characters.

    A row is one line; columns that are empty in all rows are left out.
    """
    shown = [at for at, _ in enumerate(header) if any(row[at] for row in cells)]
    beside = [at for at in shown if header[at] not in below]
    widths = {at: max(len(header[at]), *(len(row[at]) for row in cells)) for at in beside}

    def line(row: Sequence[str]) -> str:
        return (" " * _GAP).join(row[at].ljust(widths[at]) for at in beside).rstrip()

    lines = [line(header), "─" * min(room, sum(widths.values()) + _GAP * (len(beside) - 1))]
    for row in cells:
        lines.append(line(row))
        said = [f"{header[at]}: {row[at]}" for at in shown if header[at] in below and row[at]]
        for text in said:
            lines += textwrap.wrap(text, room, initial_indent="    ", subsequent_indent="      ")
    return lines


_GAP = 2


def column_widths(columns: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Characters for each column, so that lines break at blanks and no word is broken.

    Args:
        columns: Texts of each column, its header among them.
        room: Characters in a line.

    Returns:
        A width per column; None for all of them when some word has to be broken.
    """
    widths = [max(map(len, texts)) for texts in columns]
    least = [max(len(word) for text in texts for word in (text.split() or [""])) for texts in columns]
    room -= _GAP * len(columns)
    if sum(least) > room:
        return [None] * len(columns)
    while sum(widths) > room:
        widest = max((at for at in range(len(widths)) if widths[at] > least[at]), key=widths.__getitem__)
        widths[widest] -= 1
    return list(widths)


@contextlib.contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal that something is being done; nothing where nobody is watching."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …"):
        yield


def _cell(value: object, *, grouped: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and grouped:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def me() -> str:
    """Name of the user who runs this, for histories."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return "unknown"


def show_trace(error: BaseException) -> None:
    """Print a trace; with messages only on a terminal, because elsewhere it may end in a log."""
    terminal = sys.stderr.isatty()
    sys.stderr.write(
        "".join(traceback.format_exception(error) if terminal else trace_without_messages(error))
    )


def trace_without_messages(error: BaseException) -> list[str]:
    """The trace of an exception and of its causes, without their messages, which may quote a customer's values."""
    cause = error.__cause__ or error.__context__
    before = [*trace_without_messages(cause), "\nwhich led to\n\n"] if cause is not None else []
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return [*before, *traceback.format_tb(error.__traceback__), f"{name}\n"]

"""What commands print: one JSON document for scripts, tables for people."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Why = Annotated[str, typer.Option(help="The reason; it is kept in the history.")]
By = Annotated[str | None, typer.Option(help="Who does it, for the history; default: you.")]


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


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Print rows under a header; None becomes an empty cell, numbers stand right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for position, name in enumerate(header):
        numeric = any(isinstance(row[position], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row))
    Console().print(table)


@contextlib.contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal that something is being done; nothing where nobody is watching."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …"):
        yield


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def me() -> str:
    """Name of whoever runs this, for histories."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return "unknown"

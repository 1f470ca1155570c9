"""`streamflow init`: a first feature repo from CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli.output import AsJson, print_json


def init(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="New folder of the feature repo.")],
    csv_dir: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="CSV_DIR",
            help="Folder with a CSV file a table, or with such folders named by dates.",
        ),
    ],
    label: Annotated[
        str | None, typer.Option(metavar="TABLE.COLUMN", help="Boolean column to predict; default: a guess.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a first feature repo from CSV files: tables, types, keys, views, and a guess of the label; then edit it.

    Example: streamflow init wind --from drops
    """
    from streamflow.local.first_repo import guess, read, write

    guessed = guess.guess(read.read(csv_dir), label)
    written = write.write(folder, guessed)
    if as_json:
        print_json({"repo": folder, "files": written, "key": guessed.key, "label": ".".join(guessed.label)})
        return
    names = ", ".join(table.name for table in guessed.tables)
    typer.echo(f"{folder} has {len(guessed.tables)} tables with the key {guessed.key}: {names}.")
    typer.echo(
        f"The label is {'.'.join(guessed.label)}, a guess; label.py and tables.py say what to look at."
    )
    typer.echo(f"Next: . {folder}/{write.SETTINGS} && streamflow features check")

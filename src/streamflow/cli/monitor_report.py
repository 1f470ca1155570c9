"""`streamflow monitor report`: the verdicts on a month as one HTML file."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli.dates import days_of
from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, print_json

_STDOUT = Path("-")


def report(
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH",
            help="As-of date that was judged, or a month such as 2024-02; default: the newest that was judged.",
        ),
    ] = None,
    known_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Show only verdicts given by this time: ISO 8601, in UTC unless an offset is given; default: now.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write, or - for stdout; default: report-DATE.html here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a month: one HTML file, which a browser shows without network access.

    It shows the verdicts that are recorded in PostgreSQL, and judges nothing itself.

    Example: streamflow monitor report --as-of 2024-02-29 --out february.html
    """
    if as_json and out == _STDOUT:
        raise typer.BadParameter("goes with a file, not with --json", param_hint="--out -")
    first, last = (date.min, date.max) if as_of is None else days_of(as_of)
    from streamflow.monitoring.report import page, read, sentence
    from streamflow.postgres.engine import transaction
    from streamflow.settings import load
    from streamflow.times import parse_moment

    settings = load()
    moment = parse_moment(known_at) if known_at is not None else None
    with transaction(settings.database) as connection:
        verdicts = read.read(connection, settings.mlflow.registered_model, first, last, moment)
    counted = words(settings).count
    text = page.page(verdicts, counted)
    if out == _STDOUT:
        typer.echo(text, nl=False)
        return
    file = out or Path(f"report-{verdicts.as_of:%Y-%m-%d}.html")
    _write(file, text)
    said = sentence.sentence(verdicts, counted)
    if as_json:
        facts = {"model": verdicts.model, "version": verdicts.version, "as_of": verdicts.as_of.date()}
        digest = hashlib.sha256(text.encode()).hexdigest()
        print_json({"file": file, "sha256": digest, **facts, "known_at": verdicts.judged_at, "verdict": said})
        return
    typer.echo(said)
    typer.echo(f"The report is in {file}.")


def _write(file: Path, text: str) -> None:
    from streamflow.errors import UsageError

    try:
        file.write_text(text, encoding="utf-8")
    except (IsADirectoryError, NotADirectoryError, FileNotFoundError, PermissionError) as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise UsageError(
            f"The report cannot be written to {file}: {reason}.",
            hint="Name a file in a folder that exists and that you may write to: --out FILE.",
        ) from error

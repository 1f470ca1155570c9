"""`streamflow monitor quality`: the quality of each month, estimated before labels and computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from streamflow.cli.dates import Month
from streamflow.cli.output import AsJson, print_json, print_table, working

if TYPE_CHECKING:
    from streamflow.monitoring.quality.shown import MonthShown


def quality(
    as_of: Month = None,
    as_json: AsJson = False,
) -> None:
    """Show the quality of each month: estimated from its scores, and realized once its labels are loaded.

    Months that are new are judged first, if this login may record it.

    Example: streamflow monitor quality --as-of 2024-01-31
    """
    from streamflow.monitoring.quality.by_month import by_month
    from streamflow.settings import load

    settings = load()
    model, repo = settings.mlflow.registered_model, settings.feast.repo
    with working("Judging", quiet=as_json):
        found = by_month(settings.database, model, repo, settings.monitoring, as_of, settings.rows_in_lake)
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("No drop has been ingested. Put one into the inbox and run 'streamflow ingest'.")
        return
    header = ("as-of", "version", "basis", "rows", "auc", "low", "high", "log loss", "brier", "f1", "profit")
    print_table(header, [row for month in found for row in _rows(month)])
    for month in found:
        if month.why:
            typer.echo(f"{month.as_of}: {month.why}.")
    if any(month.estimated for month in found):
        from streamflow.monitoring.quality.figures import ASSUMES

        typer.echo(f"Estimates assume {ASSUMES}.")


def _rows(month: MonthShown) -> list[tuple[Any, ...]]:
    both = (("estimated", month.estimated), ("realized", month.realized))
    rows = [(basis, figures) for basis, figures in both if figures is not None]
    columns = ("rows", "auc", "low", "high", "log_loss", "brier", "f1", "profit")
    return [
        (str(month.as_of), month.version, basis, *(figures[name] for name in columns))
        for basis, figures in rows
    ] or [(str(month.as_of), None, None, *([None] * len(columns)))]

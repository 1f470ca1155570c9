"""`streamflow monitor`: whether what is served is still right."""

from __future__ import annotations

import typer

from streamflow.cli.monitor_drift import drift
from streamflow.cli.monitor_harm import harm
from streamflow.cli.monitor_quality import quality
from streamflow.cli.monitor_report import report

app = typer.Typer(no_args_is_help=True, help="Whether what is served is still right.")


@app.callback()
def _group() -> None:
    """Whether what is served is still right."""


for _command in (drift, quality, harm, report):
    app.command()(_command)

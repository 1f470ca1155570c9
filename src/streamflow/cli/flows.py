"""`streamflow flows`: the jobs conducted by Prefect. The work is done in Prefect's own environment."""

from __future__ import annotations

import json
import os
from datetime import date
from typing import Annotated, Any, NoReturn

import typer

from streamflow.cli.dates import day

app = typer.Typer(no_args_is_help=True, help="The jobs conducted by Prefect.")

MONTH, BACKFILL = "streamflow-month/streamflow", "streamflow-backfill/streamflow"
Timeout = Annotated[float, typer.Option(help="Longest time to wait for its end, in seconds.")]


@app.command()
def serve() -> None:
    """Conduct the flow runs that are due or asked for, until Ctrl-C. 'streamflow up --prefect' does so too.

    Example: STREAMFLOW_PREFECT__API_URL=https://prefect.example.com/api streamflow flows serve
    """
    _in_prefect("serve")


@app.command()
def run(
    as_of: Annotated[
        date | None,
        typer.Option(
            metavar="DATE", parser=day, help="Newest drop to ingest; later ones wait. Default: all."
        ),
    ] = None,
    timeout: Timeout = 7200.0,
) -> None:
    """Have the conductor run the jobs of a month, and wait for the end; exit 75 when it waits for an approval.

    Example: streamflow flows run --as-of 2024-01-31
    """
    _ask(MONTH, {"as_of": as_of.isoformat()} if as_of else {}, timeout)


@app.command()
def backfill(
    first: Annotated[date, typer.Argument(metavar="FIRST", parser=day, help="A date in the first month.")],
    last: Annotated[date, typer.Argument(metavar="LAST", parser=day, help="A date in the last month.")],
    timeout: Timeout = 86400.0,
) -> None:
    """Have the conductor run the months of a range, one after the other, without asking for approvals.

    Example: streamflow flows backfill 2023-01-31 2023-12-31
    """
    _ask(BACKFILL, {"first": first.isoformat(), "last": last.isoformat()}, timeout)


def _ask(deployment: str, parameters: dict[str, Any], timeout: float) -> NoReturn:
    _in_prefect("run", deployment, json.dumps(parameters), str(timeout))


def _in_prefect(*arguments: str) -> NoReturn:
    """Replace this process with one in Prefect's environment."""
    from streamflow import settings as settings_module
    from streamflow.local.prefect_python import interpreter

    settings = settings_module.load()
    python = str(interpreter(settings.prefect))
    os.execv(python, [python, "-m", "streamflow.flows", *arguments])  # noqa: S606

"""`streamflow reproduce`: make a run again, and say whether it is the same."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.output import AsJson, print_json, working

_RUN_ID_LENGTH = 32


def reproduce(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, a version's number, or an alias.")],
    as_json: AsJson = False,
) -> None:
    """Train a run again on the data as known then; exit 0 reproduced, 1 differs, 4 cannot tell.

    Example: streamflow reproduce production
    """
    from streamflow import settings as settings_module
    from streamflow.cli import promotions
    from streamflow.jobs.reproduce import reproduce as recipe
    from streamflow.registry import versions

    settings = settings_module.load()
    run_id = run if len(run) == _RUN_ID_LENGTH else versions.get(settings, promotions.number(run)).run_id
    with working("Training again", quiet=as_json):
        done = recipe(settings, run_id)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"Run {done.run_id}: {done.verdict}.")
        for layer in done.layers:
            typer.echo(f"  {layer.name:<12} {layer.verdict}")
            for line in layer.lines:
                typer.echo(f"               {line}")
    raise typer.Exit(done.exit_code)

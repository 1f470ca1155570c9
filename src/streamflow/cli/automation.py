"""`streamflow promotion`: automatic promotion, which a rollback pauses."""

from __future__ import annotations

import typer

from streamflow.cli.output import AsJson, By, Why, me, print_json

app = typer.Typer(no_args_is_help=True, help="Automatic promotion, which a rollback pauses.")


@app.callback()
def group() -> None:
    """Automatic promotion, which a rollback or a demotion pauses."""


@app.command()
def resume(*, why: Why, by: By = None, as_json: AsJson = False) -> None:
    """Let scheduled trainings promote again what passes the gate.

    Example: streamflow promotion resume --why "the cause is found"
    """
    from streamflow.registry import automation
    from streamflow.settings import load

    settings = load()
    move = automation.resume(settings.database, settings.mlflow, why=why, by=by or me())
    if as_json:
        print_json(move)
        return
    typer.echo("Scheduled trainings promote again what passes the gate.")

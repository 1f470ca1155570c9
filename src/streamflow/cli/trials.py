"""`streamflow trial`: put a version on trial beside production, as canary or in shadow."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, By, Why, me, print_json
from streamflow.model_version.aliases import CANARY, TrialAlias

app = typer.Typer(no_args_is_help=True, help="Versions on trial beside production.")
_Alias = Annotated[
    TrialAlias,
    typer.Option(
        "--as", help="canary answers a share of the entities; challenger is scored in shadow, never answered."
    ),
]


@app.command()
def start(
    version: Annotated[int, typer.Argument(help="Number of the version.")],
    *,
    alias: _Alias,
    why: Why,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Put a version on trial; predict follows within seconds, without a restart.

    Example: streamflow trial start 3 --as challenger --why "trained on March"
    """
    from streamflow.registry import trial
    from streamflow.settings import load

    settings = load()
    move = trial.start(settings.backends, version, alias, why=why, by=by or me())
    if as_json:
        print_json(move)
        return
    share = (
        f" for {settings.predict.canary_share:.0%} of the {words(settings).many}" if alias == CANARY else ""
    )
    typer.echo(
        f"Version {version} is on trial as {alias}{share}. End it: streamflow trial stop --as {alias} --why …"
    )


@app.command()
def stop(*, alias: _Alias, why: Why, by: By = None, as_json: AsJson = False) -> None:
    """End a trial; production then answers every request.

    Example: streamflow trial stop --as canary --why "no better"
    """
    from streamflow.registry import trial
    from streamflow.settings import load

    settings = load()
    move = trial.stop(settings.backends, alias, why=why, by=by or me())
    if as_json:
        print_json(move)
        return
    typer.echo(f"Version {move.from_version} is no longer on trial as {alias}.")

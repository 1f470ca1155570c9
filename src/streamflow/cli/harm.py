"""`streamflow monitor harm`: whether the version in production loses more than it did on its holdout."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.dates import day
from streamflow.cli.output import AsJson, print_json, print_table, working


def harm(
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="The verdicts on one month; default: on all months."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Whether the version in production loses more than it did on its holdout.

    Months that have no verdict yet are judged first, if your login may add verdicts.

    Example: streamflow monitor harm --as-of 2024-02-29
    """
    from streamflow import settings as settings_module
    from streamflow.errors import NotYet
    from streamflow.monitoring.harm import judge
    from streamflow.monitoring.harm.verdict import HARMFUL
    from streamflow.postgres.engine import transaction

    month = day(as_of) if as_of is not None else None
    settings = settings_module.load()
    model = settings.mlflow.registered_model
    with working("Judging", quiet=as_json):
        version = judge.judge_due(settings.database, model, settings.monitoring.harm_tolerance)
    if version is None:
        raise NotYet(
            f"No version of {model} is in production.",
            hint='Promote one: streamflow models promote VERSION --to production --why "…".',
        )
    with transaction(settings.database) as connection:
        found = [
            verdict
            for verdict in judge.verdicts(connection, model, version)
            if month is None or verdict.as_of.date() == month
        ]
    harmful = any(verdict.verdict == HARMFUL for verdict in found)
    if as_json:
        print_json({"model": model, "version": version, "harmful": harmful, "verdicts": found})
        return
    if not found:
        typer.echo(f"There is no verdict on version {version}: only months after its training set, and scored by it, have one.")
        return
    header = ("as of", "basis", "verdict", "loss", "at least", "holdout", "at most", "rows", "why")
    rows = [
        (f"{v.as_of:%Y-%m-%d}", v.basis, v.verdict, v.loss, v.loss_low, v.reference_loss, v.reference_high, v.rows, v.why)
        for v in found
    ]
    print_table(header, rows, grouped=True, below=("why",))
    typer.echo(f"Version {version} does harm." if harmful else f"No harm of version {version} is shown.")

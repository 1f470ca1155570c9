"""`streamflow monitor harm`: whether the version in production loses more than it did on its holdout."""

from __future__ import annotations

import typer

from streamflow.cli.dates import Month
from streamflow.cli.output import AsJson, print_json, print_table, working


def harm(
    as_of: Month = None,
    as_json: AsJson = False,
) -> None:
    """Show whether the version in production loses more than it did on its holdout.

    Months that are new are judged first, if this login may record it.

    Example: streamflow monitor harm --as-of 2024-02-29
    """
    from streamflow.errors import NotYet
    from streamflow.monitoring.harm import record
    from streamflow.monitoring.harm.judge import judge
    from streamflow.monitoring.harm.verdict import HARMFUL
    from streamflow.postgres.engine import transaction
    from streamflow.settings import load

    settings = load()
    model, repo = settings.mlflow.registered_model, settings.feast.repo
    with working("Judging", quiet=as_json):
        production = judge(settings.database, model, repo, settings.monitoring, settings.rows_in_lake)
    if production is None:
        raise NotYet(
            f"No version of {model} is in production.",
            hint='Promote one: streamflow models promote VERSION --to production --why "…".',
        )
    with transaction(settings.database) as connection:
        all_months = record.verdicts(connection, model, production.version)
    harmful = any(each.verdict == HARMFUL for each in all_months)
    shown = [each for each in all_months if as_of is None or each.as_of.date() == as_of]
    if as_json:
        document = {"model": model, "version": production.version, "harmful": harmful, "verdicts": shown}
        print_json(document)
        return
    header = ("as-of", "basis", "verdict", "rows", "loss", "at least", "holdout", "at most", "why")
    rows = [
        (
            f"{each.as_of:%Y-%m-%d}",
            *(each.basis, each.verdict, each.rows, each.loss, each.loss_low),
            *(each.reference_loss, each.reference_high, each.why),
        )
        for each in shown
    ]
    if rows:
        print_table(header, rows, below=("why",))
    else:
        typer.echo(
            "There is no verdict: one is given on each later month than the training set's, once scored."
        )
    typer.echo(
        f"Version {production.version} does harm."
        if harmful
        else f"Monitoring shows no harm by version {production.version}."
    )

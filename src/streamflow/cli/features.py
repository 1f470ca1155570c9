"""`streamflow features …` and `streamflow materialize`."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated

import typer

from streamflow.cli.dates import day
from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, print_json, print_table, working

app = typer.Typer(no_args_is_help=True, help="Feature definitions, and the features of an entity.")


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Update tables, views and Feast's registry to match the feature repo; no data is lost.

    Example: streamflow features apply
    """
    from streamflow import apply
    from streamflow import settings as settings_module

    applied = apply.apply(settings_module.load())
    if as_json:
        print_json(applied)
        return
    typer.echo(f"Project {applied.project}: feature views {', '.join(applied.feature_views)};")
    typer.echo(f"feature services {', '.join(applied.feature_services)}.")
    if applied.removed:
        typer.echo(f"Removed: {', '.join(applied.removed)}.")
    if applied.moved:
        typer.echo(f"Read other snapshots than before: {', '.join(applied.moved)}.")
        typer.echo("Next: streamflow materialize")


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check the feature repo, without a database, and list every problem with its file and line.

    Example: streamflow features check
    """
    from streamflow import settings as settings_module
    from streamflow.errors import UsageError
    from streamflow.repo import check

    settings = settings_module.load()
    path = settings.feast.repo.resolve()
    problems = check.check(path, settings.training.estimators, settings.predict.join_key)
    if as_json:
        print_json({"repo": path, "problems": problems})
        raise typer.Exit(UsageError.exit_code if problems else 0)
    if problems:
        raise UsageError(
            f"The feature repo {path} has {len(problems)} problem{'s' if len(problems) > 1 else ''}.",
            details=tuple(str(problem) for problem in problems),
            hint="Correct it there; see docs/feature-repo.md.",
        )
    typer.echo(f"The feature repo {path} is in order.")
    typer.echo("Next: streamflow features apply")


@app.command()
def get(
    entity: Annotated[str, typer.Argument(metavar="KEY", help="Key of one entity.")],
    as_json: AsJson = False,
) -> None:
    """Show the online features of one entity, as the predict service reads them.

    Example: streamflow features get 7590-VHVEG
    """
    from streamflow import settings as settings_module
    from streamflow.cli import service

    with service.client(settings_module.load().predict) as client:
        answer = client.features(entity)
    if as_json:
        print_json(answer.document)
        return
    print_table(
        ("feature", "value", "view", "as of"),
        [
            (
                name,
                json.dumps(item.value),
                item.view,
                item.event_timestamp and f"{item.event_timestamp:%Y-%m-%d}",
            )
            for name, item in answer.features.items()
        ],
    )
    if answer.problem:
        typer.echo(f"No prediction is possible: {answer.problem.detail}")


def materialize(
    as_of: Annotated[
        date | None,
        typer.Option(
            metavar="DATE", parser=day, help="As-of of the newest drop to load; default: the newest."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load the newest drop into the online store.

    Example: streamflow materialize --as-of 2024-01-31
    """
    from streamflow import settings as settings_module
    from streamflow.jobs import materialize

    settings = settings_module.load()
    with working("Materializing", quiet=as_json):
        views = materialize.materialize(settings, as_of).views
    if as_json:
        print_json({"views": views})
        return
    rows = [
        (view.feature_view, view.rows, view.entities, view.newest_as_of and f"{view.newest_as_of:%Y-%m-%d}")
        for view in views
    ]
    print_table(("feature view", "rows written", words(settings).many, "newest as-of"), rows, grouped=True)

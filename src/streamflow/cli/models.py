"""`streamflow train` and `streamflow models …`: train, list, show, check again, promote."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli import promotions
from streamflow.cli.dates import DropDate
from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, print_json, print_table, working
from streamflow.model_version import tags as version_tags

app = typer.Typer(no_args_is_help=True, help="Model versions: list, show, promote, roll back, history.")
for _command in (
    promotions.gate,
    promotions.promote,
    promotions.rollback,
    promotions.history,
    promotions.at,
):
    app.command()(_command)

_SHOWN = (
    *("auc", "f1", "precision", "recall", "accuracy", "average_precision", "log_loss", "brier"),
    *("calibration_error", "decile_error"),
)


def train(
    as_of: DropDate = None,
    known_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Use only rows loaded by this time: ISO 8601, in UTC unless an offset is given; default: now.",
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help="Name in the feature repo's estimator.py; default: the best of the candidates."),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(min=0, help="Which drop the label comes from: 0 the same drop, n the n-th next one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model version as of a date, and register it.

    Example: streamflow train --as-of 2024-01-31 --estimator random_forest
    """
    from streamflow.settings import load
    from streamflow.times import parse_moment

    settings = load()
    moment = parse_moment(known_at) if known_at is not None else None
    from streamflow import challenger
    from streamflow.jobs.training_sets import builder

    with working("Training", quiet=as_json):
        trained = challenger.train(
            settings,
            as_of,
            moment,
            estimator=estimator,
            horizon=horizon,
            build=builder(settings),
        )
    if as_json:
        print_json(trained)
        return
    typer.echo(f"Version {trained.version}: {trained.estimator} as of {trained.as_of:%Y-%m-%d},")
    counted = f"{words(settings).count(trained.rows)}, {trained.positives:,} of them positive"
    typer.echo(f"{counted}, fingerprint {trained.fingerprint}")
    for name, why in trained.left_out.items():
        typer.echo(f"Left out: {name}, because {why}.")
    typer.echo(
        f"Positive from {trained.threshold:.4f}, chosen by {trained.threshold_rule}; calibration {trained.calibration}"
    )
    print_table(("metric", "holdout"), [(k, trained.metrics[k]) for k in _SHOWN if k in trained.metrics])
    typer.echo(f'Next: streamflow models promote {trained.version} --to staging --why "…"')


@app.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List the model versions, newest first.

    Example: streamflow models list --json
    """
    from streamflow.registry import versions
    from streamflow.settings import load

    found = versions.list_versions(load().mlflow)
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("There is no model version yet. Train one with 'streamflow train'.")
        return
    rows = [
        (
            item.version,
            ", ".join(item.aliases),
            item.tags.get(version_tags.ESTIMATOR),
            item.tags.get(version_tags.AS_OF),
            item.tags.get(version_tags.AUC),
            item.created_at,
        )
        for item in found
    ]
    print_table(("version", "alias", "estimator", "as-of", "auc", "registered (UTC)"), rows)
    if notice := versions.waiting(found):
        typer.echo(notice)


@app.command()
def recheck(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number, or production or staging.")],
    as_json: AsJson = False,
) -> None:
    """Check a version again that was refused; it can be promoted if it passes now. Exit 3 if it does not.

    Example: streamflow models recheck 3
    """
    from streamflow.registry.recheck import recheck as check_again
    from streamflow.settings import load

    settings = load()
    with working("Checking", quiet=as_json):
        found = check_again(settings.backends, promotions.number(version))
    if as_json:
        print_json(found.record)
        return
    typer.echo(f"Version {found.version.version} passes its check; it can be promoted.")


@app.command()
def show(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number, or production or staging.")],
    as_json: AsJson = False,
) -> None:
    """Show one model version: its run's parameters, figures and digests.

    Example: streamflow models show production
    """
    from streamflow.model_version import run_record
    from streamflow.registry import versions
    from streamflow.settings import load

    settings = load()
    found = versions.get(settings.mlflow, promotions.number(version))
    run = versions.run_of(settings.mlflow, found)
    drops = versions.drops_of(settings.mlflow, found, run["params"].get(run_record.DROPS_DIGEST))
    if as_json:
        print_json({"version": found, "drops": drops, **run})
        return
    aliases = f" ({', '.join(found.aliases)})" if found.aliases else ""
    typer.echo(f"Version {found.version}{aliases}, registered at {found.created_at:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"Run {found.run_id}. Reproduce it: streamflow reproduce {found.version}")
    print_table(("metric", "value"), sorted(run["metrics"].items()))
    print_table(("parameter", "value"), sorted(run["params"].items()))
    if drops is None:
        typer.echo("The list of its drops is missing, or is not the one that the run recorded.")
    else:
        print_table(("drop", "digest"), [(drop["drop_id"], drop["digest"]) for drop in drops])
    tags = version_tags.own({**run["tags"], **found.tags})
    parts = [("code", "code."), ("environment", "env."), ("other", "")]
    for title, prefix in parts:
        rows = [(key.removeprefix(prefix), tags[key]) for key in sorted(tags) if key.startswith(prefix)]
        print_table((title, "value"), rows)
        tags = {key: value for key, value in tags.items() if not key.startswith(prefix)}

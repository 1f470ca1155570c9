"""`streamflow train` and `streamflow models …`: from a training to what is served."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from streamflow.cli.output import AsJson, By, Why, me, print_json, print_table, working

app = typer.Typer(no_args_is_help=True, help="Model versions: list, show, promote, roll back, history.")

_SHOWN = ("auc", "f1", "accuracy", "average_precision", "log_loss", "calibration_error")


def train(
    as_of: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="Look at the world then; default: the newest drop.",
        ),
    ] = None,
    known_at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            formats=["%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"],
            help="Newest load time that may be seen (UTC unless it says otherwise); default: now.",
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help="random_forest, logistic_regression or gradient_boosting; default: the best."),
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(min=0, help="Whose label: 0 the drop's own, n the n-th next drop's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model version as of a date, and register it.

    Example: streamflow train --as-of 2024-01-31 --estimator random_forest
    """
    from streamflow import settings as settings_module
    from streamflow.jobs.train import train as recipe

    if known_at is not None and known_at.tzinfo is None:
        known_at = known_at.replace(tzinfo=UTC)
    with working("Training", quiet=as_json):
        trained = recipe(
            settings_module.load(),
            as_of.date() if as_of else None,
            known_at,
            estimator=estimator,
            horizon=horizon,
        )
    if as_json:
        print_json(trained)
        return
    typer.echo(f"Version {trained.version}: {trained.estimator} as of {trained.as_of:%Y-%m-%d},")
    typer.echo(
        f"{trained.rows:,} rows, {trained.positives:,} of them positive, fingerprint {trained.fingerprint}"
    )
    print_table(("metric", "holdout"), [(k, trained.metrics[k]) for k in _SHOWN if k in trained.metrics])
    typer.echo(f'Serve it: streamflow models promote {trained.version} --to production --why "…"')


@app.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List the model versions, the newest first.

    Example: streamflow models list --json
    """
    from streamflow import settings as settings_module
    from streamflow.registry import versions

    found = versions.list_versions(settings_module.load())
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("There is no model version yet. Make one with 'streamflow train'.")
        return
    rows = [
        (
            item.version,
            ", ".join(item.aliases),
            item.tags.get(versions.ESTIMATOR_TAG),
            item.tags.get(versions.AS_OF_TAG),
            item.tags.get("streamflow.auc"),
            item.created_at,
        )
        for item in found
    ]
    print_table(("version", "alias", "estimator", "as-of", "auc", "registered (UTC)"), rows)


@app.command()
def show(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number, or production or staging.")],
    as_json: AsJson = False,
) -> None:
    """Show one model version: its run's parameters, figures and digests.

    Example: streamflow models show production
    """
    from streamflow import settings as settings_module
    from streamflow.registry import versions

    settings = settings_module.load()
    found = versions.get(settings, _number(version))
    run = versions.run_of(settings, found)
    if as_json:
        print_json({"version": found, **run})
        return
    aliases = f" ({', '.join(found.aliases)})" if found.aliases else ""
    typer.echo(f"Version {found.version}{aliases}, registered at {found.created_at:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"Run {found.run_id}")
    print_table(("metric", "value"), sorted(run["metrics"].items()))
    print_table(("parameter", "value"), sorted(run["params"].items()))
    print_table(("tag", "value"), sorted(found.tags.items()))


@app.command()
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Number of the version, or staging.")],
    *,
    why: Why,
    to: Annotated[Literal["production", "staging"], typer.Option(help="The alias to move.")] = "production",
    by: By = None,
    expected: Annotated[
        int | None, typer.Option(help="Version the alias points at as you believe; refused if it does not.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias point at a version; production is what predict serves.

    Example: streamflow models promote 2 --to production --why "AUC 0.83, checked by hand"
    """
    from streamflow import settings as settings_module
    from streamflow.registry import promote as registry

    move = registry.promote(
        settings_module.load(),
        _number(version),
        to,
        why=why,
        by=by or me(),
        expected=registry.ANY if expected is None else expected,
    )
    _show_move(move, as_json)


@app.command()
def rollback(
    *,
    why: Why,
    by: By = None,
    alias: Annotated[
        Literal["production", "staging"], typer.Option(help="The alias to move.")
    ] = "production",
    as_json: AsJson = False,
) -> None:
    """Let an alias point at the version it pointed at before.

    Example: streamflow models rollback --why "complaints since this morning"
    """
    from streamflow import settings as settings_module
    from streamflow.registry import promote as registry

    _show_move(registry.rollback(settings_module.load(), why=why, by=by or me(), alias=alias), as_json)


@app.command()
def history(as_json: AsJson = False) -> None:
    """List every promotion and rollback: who, when, from, to and why.

    Example: streamflow models history
    """
    from streamflow import settings as settings_module
    from streamflow.registry import promote as registry

    moves = registry.history(settings_module.load())
    if as_json:
        print_json(moves)
        return
    rows = [
        (move.moved_at, move.moved_by, move.action, move.alias, move.from_version, move.to_version, move.why)
        for move in moves
    ]
    print_table(("at (UTC)", "by", "what", "alias", "from", "to", "why"), rows)


def _show_move(move: object, as_json: bool) -> None:
    from streamflow.registry.promote import Move

    if as_json:
        print_json(move)
    elif isinstance(move, Move):
        before = f", before version {move.from_version}" if move.from_version is not None else ""
        typer.echo(f"'{move.alias}' points at version {move.to_version}{before}.")


def _number(version: str) -> int:
    """A version's number from what a user typed.

    Raises:
        UsageError: it is neither a number nor an alias.
        NotFound: the alias points at nothing.
    """
    from streamflow import settings as settings_module
    from streamflow.errors import NotFound, UsageError
    from streamflow.registry import versions

    if version.isdigit():
        return int(version)
    if version not in versions.ALIASES:
        raise UsageError(
            f"'{version}' is no model version.",
            hint=f"Give a number, or one of {', '.join(versions.ALIASES)}.",
        )
    number = versions.by_alias(settings_module.load(), version)
    if number is None:
        raise NotFound(
            f"The alias '{version}' points at no version.",
            hint="List versions with 'streamflow models list'.",
        )
    return number

"""`streamflow reproduce`: repeat a run, and say whether the result is the same."""

from __future__ import annotations

import dataclasses
import getpass
from typing import Annotated, Any

import typer

from streamflow.cli.output import AsJson, print_json, show_trace, working
from streamflow.errors import DependencyDown, StreamFlowError

_RUN_ID_LENGTH = 32


def reproduce(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, a version's number, or an alias.")],
    *,
    in_image: Annotated[
        bool, typer.Option("--in-image", help="Run on the cluster, in the image that the run was made in.")
    ] = False,
    image: Annotated[
        str | None, typer.Option(help="With --in-image: an image other than the recorded one.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="With --in-image: the namespace; default: the current one."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="With --in-image: Helm release, if the namespace has several.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="With --in-image: longest time, in seconds.")] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Repeat a run on the data known at its time; exit 0 reproduced, 1 differs, 4 cannot tell.

    Example: streamflow reproduce production
    """
    from streamflow.audit.reproduce.rerun import cannot_tell, in_words
    from streamflow.settings import load

    try:
        done = _repeat(run, image, namespace, release, timeout, in_image=in_image, quiet=as_json)
    except DependencyDown as error:
        if as_json:
            print_json(cannot_tell(run, error.what))
        raise
    except Exception as error:
        # Exit code 1 means that the result differs, which a failed attempt does not show.
        if isinstance(error, StreamFlowError) and error.exit_code != StreamFlowError.exit_code:
            raise
        if load().log.debug:
            show_trace(error)
        more = (*error.details, error.hint) if isinstance(error, StreamFlowError) else ()
        done = dataclasses.asdict(cannot_tell(run, in_words(error), *filter(None, more)))
    if as_json:
        print_json(done)
    else:
        _show(done)
    raise typer.Exit(done["exit_code"])


def _repeat(
    run: str,
    image: str | None,
    namespace: str | None,
    release: str | None,
    timeout: float,
    *,
    in_image: bool,
    quiet: bool,
) -> dict[str, Any]:
    from streamflow.cli import promotions
    from streamflow.registry import versions
    from streamflow.settings import load

    settings = load()
    run_id = (
        run if len(run) == _RUN_ID_LENGTH else versions.get(settings.mlflow, promotions.number(run)).run_id
    )
    if in_image:
        from streamflow.audit.reproduce.in_image import recorded_image, reproduce_in_image
        from streamflow.cluster.jobs import Cluster

        cluster = Cluster(namespace, release=release)
        wanted = image or recorded_image(settings.mlflow, run_id)
        if not quiet:
            typer.echo(f"In image {wanted}, namespace {cluster.namespace}:", err=True)
        with working("Training again on the cluster", quiet=quiet):
            return reproduce_in_image(cluster, run_id, wanted, getpass.getuser(), timeout_seconds=timeout)
    from streamflow.audit.reproduce import rerun
    from streamflow.jobs.training_sets import rebuilder

    with working("Training again", quiet=quiet):
        return dataclasses.asdict(
            rerun.reproduce(settings.backends, settings.training, settings.build, run_id, rebuilder(settings))
        )


def _show(done: dict[str, Any]) -> None:
    typer.echo(f"Run {done['run_id']}: {done['verdict']}.")
    for layer in done["layers"]:
        typer.echo(f"  {layer['name']:<12} {layer['verdict']}")
        for line in layer["lines"]:
            typer.echo(f"               {line}")

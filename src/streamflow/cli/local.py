"""Laptop mode: `streamflow demo`, `up`, `down`, `status`, `doctor`."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli.output import AsJson, print_json, print_table

WithPrefect = Annotated[
    bool, typer.Option("--prefect", help="Also start Prefect and its conductor; 'make prefect' installs it.")
]


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of your own drops, one folder a month (2024-01-31 or month_000)."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop after the answers instead of waiting.")] = False,
    with_prefect: WithPrefect = False,
) -> None:
    """Run the whole pipeline on this machine, from drops to predictions.

    Starts the local stack, ingests drops (two invented months unless --data names yours), materializes,
    trains, promotes, asks the predict service, and waits. Ctrl-C stops everything.

    Example: streamflow demo --data my-drops
    """
    from streamflow import settings as settings_module
    from streamflow.local.demo import run

    settings = settings_module.load()
    raise typer.Exit(run(settings, data, once=once, with_prefect=with_prefect, say=typer.echo))


def up(with_prefect: WithPrefect = False, as_json: AsJson = False) -> None:
    """Start the local stack, and return once every service answers.

    State is kept in STREAMFLOW_HOME (default .streamflow). Services that already run are left alone.

    Example: STREAMFLOW_HOME=/tmp/mine streamflow up
    """
    from streamflow import settings as settings_module
    from streamflow.local import stack

    told = partial(typer.echo, err=True)
    settings = stack.up(settings_module.load(), told, with_prefect=with_prefect)
    _show_status(stack.status(settings), settings.home, as_json)
    if with_prefect:
        told(f"Prefect's pages: {settings.prefect.pages}; their login is in {settings.prefect.auth_file}.")


def down(as_json: AsJson = False) -> None:
    """Stop the local stack; its data stays.

    Example: streamflow down
    """
    from streamflow import settings as settings_module
    from streamflow.local import stack

    home = settings_module.load().home
    stopped = stack.down(home)
    if as_json:
        print_json({"stopped": stopped})
    else:
        typer.echo(
            f"Stopped {', '.join(stopped)}." if stopped else f"Nothing was running of the stack in {home}."
        )


def status(as_json: AsJson = False) -> None:
    """List the services of the local stack, and where they are; exit 4 unless all of them run.

    The line below the list is about the version that was judged last: its quality, and since when drift or harm holds.

    Example: streamflow status --json
    """
    from streamflow import settings as settings_module
    from streamflow.errors import StreamFlowError
    from streamflow.local import services, stack
    from streamflow.monitoring import quality_now
    from streamflow.registry import automation, versions

    settings = settings_module.load()
    found = stack.status(settings)
    running = {item.name for item in found if item.state == "running"}
    now = None
    if services.POSTGRES in running:
        with contextlib.suppress(StreamFlowError):
            now = quality_now.read(settings.database, settings.mlflow.registered_model)
    home = settings.home.expanduser().resolve()
    if as_json:
        print_json({"home": home, "services": found, "quality": now})
    else:
        _show_status(found, home, as_json=False)
        if now is not None:
            typer.echo(quality_now.line(now))
    if not as_json and services.MLFLOW in running:
        # The registry has its own error where it belongs, at the commands that need it.
        with contextlib.suppress(StreamFlowError):
            notices = (
                automation.paused(settings.database, settings.mlflow.registered_model),
                versions.waiting(versions.list_versions(settings.mlflow)),
            )
            for notice in filter(None, notices):
                typer.echo(notice)
    if any(service.state != "running" for service in found):
        if not as_json:
            typer.echo("Start what does not run with 'streamflow up'.", err=True)
        raise typer.Exit(4)


def _show_status(found: list, home: Path, as_json: bool) -> None:  # type: ignore[type-arg]
    if as_json:
        print_json({"home": home, "services": found})
        return
    rows = [
        (
            item.name,
            item.state,
            item.url,
            item.pid,
            f"version {item.model_version}" if item.model_version else "",
        )
        for item in found
    ]
    print_table(("service", "state", "address", "pid", "serves"), rows)


def doctor(as_json: AsJson = False) -> None:
    """Check the installation and the local stack, and say how to fix what is wrong; exit 1 if anything is.

    Example: streamflow doctor
    """
    from streamflow import settings as settings_module
    from streamflow.local.doctor import examine

    findings = examine(settings_module.load())
    if as_json:
        print_json({"findings": findings})
    else:
        rows = [(item.state, item.subject, item.found, item.advice) for item in findings]
        print_table(("", "what", "found", "what to do"), rows)
    if any(item.state == "wrong" for item in findings):
        raise typer.Exit(1)

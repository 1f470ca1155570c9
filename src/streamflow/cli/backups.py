"""`streamflow backup` and `streamflow restore`: everything into a folder, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamflow.cli.output import AsJson, me, print_json, working


def backup(as_json: AsJson = False) -> None:
    """Dump the databases and the files of the model versions into a folder of their own.

    Example: STREAMFLOW_BACKUP__FOLDER=~/backups streamflow backup
    """
    from streamflow import settings as settings_module
    from streamflow.jobs import backup

    with working("Backing up", quiet=as_json):
        done = backup.backup(settings_module.load())
    if as_json:
        print_json(done)
        return
    size = sum(done.files.values()) / 1e6
    typer.echo(f"The backup is in {done.folder}: {size:.1f} MB, {sum(done.rows.values()):,} rows,")
    typer.echo(f"{len(done.versions)} model versions. {len(done.removed)} older backups were removed.")
    if done.elsewhere:
        typer.echo(
            f"Not in it, because they are not behind MLflow's artifact proxy: versions {_listed(done.elsewhere)}."
        )
    if done.deleted:
        typer.echo(f"Deleted in MLflow, though the audit trail knows them: versions {_listed(done.deleted)}.")
    if done.unchecked:
        typer.echo(f"In it, but made by no training of StreamFlow: versions {_listed(done.unchecked)}.")
    if done.url:
        typer.echo(f"Copied to {done.url}")
    typer.echo(f"Back: streamflow restore {done.folder}")


def _listed(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))


def restore(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="The backup, or its name; default: the newest one."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace databases that contain drops or model versions.")
    ] = False,
    admin_user_file: Annotated[
        Path | None, typer.Option(help="File with the name of the administrator to log in as.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup: check it, restore it beside the current databases, compare, then swap.

    Example: streamflow restore backups/2024-03-01T000000.000000Z
    """
    from streamflow import settings as settings_module
    from streamflow.backup import object_store, restore
    from streamflow.cli.db import as_admin

    with working("Restoring", quiet=as_json):
        settings = as_admin(settings_module.load(), admin_user_file)
        chosen = object_store.fetched(settings.backup, folder)
        done = restore.restore(
            settings.backends,
            settings.backup.folder,
            chosen,
            replace=replace,
            by=me(),
            erasure=settings.erasure,
        )
    if as_json:
        print_json(done)
        return
    typer.echo(
        f"The backup of {done.made_at} is back: {sum(done.rows.values()):,} rows, equal to the manifest's,"
    )
    typer.echo(f"and {done.artifacts} files of model versions.")
    if done.lost:
        typer.echo(f"Row {done.row} of the audit trail names the {done.lost} rows that were lost of it.")
    for step in done.next:
        typer.echo(step)

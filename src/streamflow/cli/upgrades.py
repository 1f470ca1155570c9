"""`streamflow upgrade`: a backup, a rehearsal on a copy, and then the migration."""

from __future__ import annotations

import signal
import sys
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamflow.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from streamflow.settings import DatabaseSettings, Settings
    from streamflow.upgrade.steps import Real, UpgradeResult


def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="All but the last step: the real databases stay as they are.")
    ] = False,
    leave_mlflow: Annotated[
        bool,
        typer.Option(
            "--leave-mlflow", help="Leave MLflow's real database to what starts its server, as on Kubernetes."
        ),
    ] = False,
    passwords: Annotated[
        Path | None,
        typer.Option(
            help="Folder with a file ROLE-password per role: migrate as 'streamflow db prepare' does."
        ),
    ] = None,
    admin_user_file: Annotated[
        Path | None, typer.Option(help="File with the name of the administrator to log in as.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Migrate the databases to this version, after a rehearsal on a copy; predictions are served throughout.

    Takes a backup, restores it beside the real databases, migrates the copy, asks it for 100 predictions and compares
    them with production's. Only then the real databases are migrated; MLflow's server is stopped meanwhile.

    Example: STREAMFLOW_BACKUP__FOLDER=~/backups streamflow upgrade --dry-run
    """
    from streamflow import settings as settings_module
    from streamflow.cli.db import as_admin
    from streamflow.upgrade import steps
    from streamflow.upgrade.ask import Present

    # A pod that is deleted must leave no copy behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    settings = as_admin(settings_module.load(), admin_user_file)
    url = settings.parity.url.rstrip("/") or settings.predict.url
    done = steps.upgrade(
        settings.backends,
        settings.backup,
        Present(url, settings.parity.secret),
        _real(settings, passwords, leave_mlflow=leave_mlflow),
        partial(typer.echo, err=True),
        dry_run=dry_run,
    )
    if as_json:
        print_json(done)
        return
    for line in said(done):
        typer.echo(line)


def _real(settings: Settings, passwords: Path | None, *, leave_mlflow: bool) -> Real:
    from streamflow import servers
    from streamflow.schema import migrate, prepare
    from streamflow.upgrade.steps import Real

    # A wrong folder is refused before anything is done.
    found = None if passwords is None else prepare.passwords_in(passwords)

    def tables() -> str:
        revision = (
            migrate.migrate(settings.database) if found is None else prepare.prepare(settings.database, found)
        )
        prepare.set_least_kept(settings.database, settings.least_kept)
        return revision

    def mlflow(database: DatabaseSettings) -> None:
        servers.upgrade_mlflow(settings.model_copy(update={"database": database}))

    def stopped() -> AbstractContextManager[None]:
        # The image of the platform has no local stack to stop.
        from streamflow.local import stack

        return stack.without_mlflow(settings, partial(typer.echo, err=True))

    return Real(tables, mlflow, None if leave_mlflow else stopped)


def said(done: UpgradeResult) -> list[str]:
    """What the command prints of an upgrade. Pure."""
    lines = [f"The backup is in {done.backup}; back: streamflow restore {done.backup} --replace"]
    step = f"from revision {done.from_revision or 'none'} to {done.revision}"
    if not done.migrated:
        return [
            *lines,
            f"The copy was migrated {step}. Nothing was changed: a run without --dry-run migrates.",
        ]
    lines.append(f"StreamFlow's tables were migrated {step}.")
    lines.append(
        {
            "migrated": "MLflow's database was migrated while its server was stopped.",
            "left": "MLflow's database is migrated when its server starts.",
            "elsewhere": "MLflow's database is on another server: migrate it there.",
        }[done.mlflow]
    )
    return [*lines, "Services that run are of the former version until they are started again."]

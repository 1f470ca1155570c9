"""`streamflow db`: migrations, roles, waiting; what the chart's migration Job runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamflow import settings as settings_module
from streamflow.schema import migrate as migrations
from streamflow.schema import prepare as preparing
from streamflow.schema import roles as role_table
from streamflow.settings import DatabaseSettings, Settings

app = typer.Typer(no_args_is_help=True, help="The database: migrations, roles, readiness.")


@app.command()
def migrate() -> None:
    """Bring the platform's tables to the newest revision."""
    typer.echo(f"The database is at revision {migrations.migrate(settings_module.load())}.")


@app.command()
def prepare(
    passwords: Annotated[Path, typer.Option(help="Folder with a file ROLE-password per role.")],
    roles: Annotated[bool, typer.Option(help="Make roles and grants too.")] = True,
    admin_user_file: Annotated[Path | None, typer.Option(help="File with the administrator's name.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for PostgreSQL.")] = 300.0,
) -> None:
    """Wait for PostgreSQL; make roles, databases and schemas; run migrations; set grants."""
    settings = _as_admin(settings_module.load(), admin_user_file)
    server = _as_admin(settings, None, name=preparing.MAINTENANCE_DATABASE) if roles else settings
    preparing.wait(
        server, "login", timeout, on_wait=lambda reason: typer.echo(f"Waiting: {reason}", err=True)
    )
    revision = preparing.prepare(settings, preparing.passwords_in(passwords), with_roles=roles)
    typer.echo(f"The database is at revision {revision}.")


@app.command()
def finish(
    roles: Annotated[bool, typer.Option(help="Set grants on the tables that `features apply` made.")] = True,
    admin_user_file: Annotated[Path | None, typer.Option(help="File with the administrator's name.")] = None,
) -> None:
    """After `features apply`: set grants on what it made, and tell those who wait."""
    settings = _as_admin(settings_module.load(), admin_user_file)
    if roles:
        preparing.grant(settings)
    preparing.stamp(settings)
    typer.echo("Grants are set, and the feature repo is marked as applied.")


@app.command()
def wait(
    until: Annotated[str, typer.Option(help="login, migrated or applied.")] = "migrated",
    timeout: Annotated[float, typer.Option(help="Seconds.")] = 900.0,
) -> None:
    """Return when the database is ready for this version; exit 4 when it is not in time."""
    if until not in ("login", "migrated", "applied"):
        raise typer.BadParameter("one of login, migrated, applied", param_hint="--until")
    seen: set[str] = set()

    def tell(reason: str) -> None:
        if reason not in seen:
            seen.add(reason)
            typer.echo(f"Waiting: {reason}", err=True)

    preparing.wait(settings_module.load(), until, timeout, on_wait=tell)  # type: ignore[arg-type]


@app.command("roles")
def show_roles(
    sql: Annotated[
        bool, typer.Option("--print", help="The SQL for a server without roles, to run by hand.")
    ] = False,
) -> None:
    """List the roles and what each is for; `--print` shows the SQL that makes them."""
    database = settings_module.load().database
    if not sql:
        for name, role in role_table.ROLES.items():
            typer.echo(f"{database.role_prefix + name:<28} {role.summary}")
        return
    plan = role_table.Plan(database.name, database.mlflow_name, database.role_prefix)
    for title, statements in (
        ("In any database, as an administrator", role_table.role_statements(plan, set())),
        ("In any database, outside a transaction", role_table.database_statements(plan, set())),
        (f"In {database.name}", role_table.schema_statements(plan)),
    ):
        typer.echo(f"-- {title}:")
        for statement in statements:
            typer.echo(f"{statement};")


@app.command()
def check() -> None:
    """Say whether the database answers and is at this version's revision; exit 4 when not."""
    preparing.wait(settings_module.load(), "migrated", 0.0)
    typer.echo(f"The database answers and is at revision {migrations.newest()}.")


def _as_admin(settings: Settings, user_file: Path | None, *, name: str | None = None) -> Settings:
    update = {"user": user_file.read_text(encoding="utf-8").strip()} if user_file else {}
    if name:
        update["name"] = name
    fields = settings.database.model_dump() | update
    return settings.model_copy(update={"database": DatabaseSettings(**fields)})

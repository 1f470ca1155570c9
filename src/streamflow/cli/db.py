"""`streamflow db`: migrations, roles, waiting; what the chart's migration Job runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from streamflow import settings as settings_module
from streamflow.cli.output import AsJson, print_json
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import quote
from streamflow.schema import migrate as migrations
from streamflow.schema import prefect_database, swap
from streamflow.schema import prepare as preparing
from streamflow.schema import roles as role_table
from streamflow.settings import DatabaseSettings, Settings

app = typer.Typer(no_args_is_help=True, help="The database: migrations, roles, readiness, clock.")

_CLOCKS = {
    "server": "clock of the database",
    "caller": "clock of this machine",
    "newest": "newest stamp",
    "next": "next stamp",
    "vouched": "vouched for",
}


@app.command()
def migrate() -> None:
    """Migrate the platform's tables to the newest revision."""
    settings = settings_module.load()
    _heal(settings.database)
    revision = migrations.migrate(settings.database)
    preparing.set_least_kept(settings.database, settings.least_kept)
    typer.echo(_revision(revision))


def _heal(database: DatabaseSettings) -> None:
    """Clean up after a restore that was killed, and say what was done."""
    for line in swap.heal(database):
        typer.echo(line, err=True)


@app.command("upgrade-mlflow")
def upgrade_mlflow(
    accounts: Annotated[
        Path | None,
        typer.Option(
            help="Create the accounts of MLflow too; folder with the files admin-password and ROLE-password."
        ),
    ] = None,
) -> None:
    """Migrate MLflow's database to the schema of the installed MLflow."""
    from streamflow.servers import upgrade_mlflow as upgrade

    upgrade(settings_module.load(), accounts)


@app.command()
def prepare(
    passwords: Annotated[Path, typer.Option(help="Folder with a file ROLE-password per role.")],
    roles: Annotated[
        bool, typer.Option(help="Create roles, databases and schemas as the administrator.")
    ] = True,
    admin_user_file: Annotated[Path | None, typer.Option(help="File with the administrator's name.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for PostgreSQL.")] = 300.0,
) -> None:
    """Wait for PostgreSQL; create roles, databases and schemas; run migrations; set grants and least retentions."""
    settings = as_admin(settings_module.load(), admin_user_file)
    server = as_admin(settings, None, name=preparing.MAINTENANCE_DATABASE) if roles else settings
    preparing.wait(
        server.database,
        server.feast.repo,
        "login",
        timeout,
        on_wait=lambda reason: typer.echo(f"Waiting: {reason}", err=True),
    )
    _heal(settings.database)
    revision = preparing.prepare(settings.database, preparing.passwords_in(passwords), with_roles=roles)
    preparing.set_least_kept(settings.database, settings.least_kept)
    typer.echo(_revision(revision))


@app.command()
def finish(
    passwords: Annotated[
        Path | None, typer.Option(help="With --no-roles: folder with a file feast_apply-password.")
    ] = None,
    roles: Annotated[bool, typer.Option(help="Set grants as the administrator; else as the owners.")] = True,
    admin_user_file: Annotated[Path | None, typer.Option(help="File with the administrator's name.")] = None,
) -> None:
    """After `features apply`: set grants on what it created, and let waiting components start."""
    settings = as_admin(settings_module.load(), admin_user_file)
    found = {} if passwords is None or roles else preparing.passwords_in(passwords)
    preparing.finish(settings.database, settings.feast.repo, found, with_roles=roles)
    typer.echo("Grants are set, and the feature repo is marked as applied.")


@app.command()
def wait(
    until: Annotated[str, typer.Option(help="login, migrated or applied.")] = "migrated",
    timeout: Annotated[float, typer.Option(help="Seconds.")] = 900.0,
) -> None:
    """Wait until the database is ready for this version; exit 4 on timeout."""
    if until not in ("login", "migrated", "applied"):
        raise typer.BadParameter("one of login, migrated, applied", param_hint="--until")
    seen: set[str] = set()

    def tell(reason: str) -> None:
        if reason not in seen:
            seen.add(reason)
            typer.echo(f"Waiting: {reason}", err=True)

    settings = settings_module.load()
    preparing.wait(settings.database, settings.feast.repo, until, timeout, on_wait=tell)  # type: ignore[arg-type]


@app.command("roles")
def show_roles(
    sql: Annotated[
        bool, typer.Option("--print", help="Print the SQL that creates the roles, to run by hand.")
    ] = False,
    server: Annotated[
        int, typer.Option("--postgresql", help="Major version of the server that the SQL is for.")
    ] = 17,
) -> None:
    """List the roles and what each is for; `--print` prints the SQL that creates them, for psql.

    Grants on tables follow by themselves: `db prepare --no-roles` and `db finish --no-roles` set them as the owners.
    """
    database = settings_module.load().database
    if not sql:
        for name, role in role_table.ROLES.items():
            typer.echo(f"{database.role_prefix + name:<28} {role.summary}")
        return
    plan = role_table.Plan(database.name, database.mlflow_name, database.role_prefix, server * 10_000)
    for lines in (
        ["-- Once, as an administrator: streamflow db roles --print | psql postgres"],
        _ended(role_table.role_statements(plan, set())),
        ["-- A password for each, the same as in the Secret with a key ROLE-password per role:"],
        [f"-- ALTER ROLE {plan.role(name)} PASSWORD '...';" for name in role_table.LOGINS],
        _ended(role_table.database_statements(plan, set())),
        [f"\\connect {quote(database.name)}"],
        _ended(role_table.schema_statements(plan)),
        *([] if not database.prefect_name else _of_prefect(plan, database.prefect_name)),
    ):
        typer.echo("\n".join(lines))


def _of_prefect(plan: role_table.Plan, name: str) -> list[list[str]]:
    """SQL that an administrator runs for the database of Prefect's server. Pure."""
    return [
        ["-- The database of Prefect's server:"],
        _ended(prefect_database.statements(plan, name, set(), set())),
        [f"-- ALTER ROLE {plan.role(prefect_database.ROLE)} PASSWORD '...';"],
        [f"\\connect {quote(name)}", f"{prefect_database.EXTENSION};"],
    ]


def _ended(statements: list[str]) -> list[str]:
    """SQL statements, each with its semicolon. Pure."""
    return [f"{statement};" for statement in statements]


@app.command("clock")
def clock_command(
    accept: Annotated[
        str | None,
        typer.Option(metavar="WHY", help="Let stamps go on although they are refused; needs the owner."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the clocks and the newest stamp; exit 3 when new stamps are refused.

    A stamp more than a day ahead of everything that vouches for it is refused, because one clock must be wrong.
    Correct the clock; only if the time is right, or wrong dates are to stay, use --accept.

    Example: streamflow db clock --accept 'switched off since May, the clock is right'
    """
    if accept is not None and not accept.strip():
        raise typer.BadParameter("needs a reason", param_hint="--accept")
    with transaction(settings_module.load().database) as connection:
        accepted = None if accept is None else clock.accept(connection, accept)
        reading = clock.read(connection)
    if as_json:
        print_json({**dataclasses.asdict(reading), "accepted": accepted})
    else:
        for name in ("server", "caller", "newest", "next", "vouched"):
            typer.echo(f"{_CLOCKS[name]:<26}{getattr(reading, name):%Y-%m-%d %H:%M:%S} UTC")
        if accepted is not None:
            typer.echo(f"Stamps up to a day after {accepted:%Y-%m-%d %H:%M:%S} are given again.")
    if reading.refused:
        raise clock.refusal(reading)


@app.command()
def check() -> None:
    """Check that the database answers and is at this version's revision; exit 4 if not."""
    settings = settings_module.load()
    preparing.wait(settings.database, settings.feast.repo, "migrated", 0.0)
    with transaction(settings.database) as connection:
        revision = migrations.current(connection)
    typer.echo(f"The database answers. {_revision(revision)}")


def _revision(held: str) -> str:
    if migrations.is_newer(held):
        return (
            f"The database is at revision {held}, which a newer version created; this one knows {migrations.newest()}."
            " It is left as it is."
        )
    return f"The database is at revision {held}."


def as_admin(settings: Settings, user_file: Path | None, *, name: str | None = None) -> Settings:
    """The settings of the administrator whose name is in a file, if one is named, for the database `name`."""
    update = {"user": user_file.read_text(encoding="utf-8").strip()} if user_file else {}
    if name:
        update["name"] = name
    fields = settings.database.model_dump() | update
    return settings.model_copy(update={"database": DatabaseSettings(**fields)})

"""`streamflow drops …`, `streamflow ingest` and `streamflow simulate`: CSV drops, from making to keeping."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamflow import settings as settings_module
from streamflow.cli.dates import day
from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from streamflow.drops.load import IngestOutcome, TableOutcome
    from streamflow.drops.read import Progress as Report
    from streamflow.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The ledger of drops, and what was rejected.")

AsOf = Annotated[
    date | None,
    typer.Option(metavar="DATE", parser=day, help="As-of date of the drop; default: the folder's name."),
]
Drop = Annotated[str | None, typer.Option(help="Id of a drop, or its beginning.")]


def ingest_command(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Folder with one CSV file per table; with --all, a folder of such folders."
        ),
    ] = None,
    *,
    as_of: AsOf = None,
    take_all: Annotated[
        bool,
        typer.Option("--all", help="Ingest every dated folder below FOLDER that has not been ingested yet."),
    ] = False,
    loaded_by: Annotated[str | None, typer.Option(help="Who loads it, for the ledger; default: you.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a drop and store its good rows; nothing is ever overwritten.

    Bad rows go to quarantine ('streamflow drops quarantine'). A drop with a missing column, an unreadable
    file or too many bad rows is refused whole. Ingesting the same content again changes nothing.

    Examples: streamflow ingest drops/2024-01-31; streamflow ingest month_000 --as-of 2024-01-31.
    """
    from streamflow.jobs.ingest import ingest_folder, ingest_folders

    settings = settings_module.load()
    if take_all:
        if as_of is not None:
            raise typer.BadParameter("goes with one drop, not with --all", param_hint="--as-of")
        root = folder or Path(settings.ingest.inbox)
        with _progress(quiet=as_json) as progress:
            outcomes = ingest_folders(settings, root, loaded_by, progress)
        if as_json:
            print_json({"drops": [_facts(outcome) for outcome in outcomes]})
        elif not outcomes:
            until = f" up to {settings.ingest.until}" if settings.ingest.until else ""
            typer.echo(f"There is no new drop{until} in {root}.")
        for outcome in [] if as_json else outcomes:
            _show_outcome(outcome)
        return
    if folder is None:
        raise typer.BadParameter("name the drop's folder, or give --all", param_hint="DIR")
    with _progress(quiet=as_json) as progress:
        done = ingest_folder(settings, folder, as_of, loaded_by, progress)
    if as_json:
        print_json(_facts(done))
    else:
        _show_outcome(done)


def simulate_command(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write the drops to, one dated folder each.")
    ],
    *,
    users: Annotated[int, typer.Option(min=1, help="Entities in each drop.")] = 7000,
    months: Annotated[int, typer.Option(min=1, help="Number of drops.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 1,
    drift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=AMOUNT[@MONTH]",
            help="Move a column by AMOUNT a month, once per column: standard deviations for a number, share of"
            " True for a flag, share of one category for a category. MONTH is the first month with a drift,"
            " counted from the first drop; default: 1. The name 'concept' moves the mechanism behind the label towards"
            " another one, from MONTH on: by half with 0.5, entirely with 1.",
        ),
    ] = None,
    first_as_of: Annotated[
        date, typer.Option(metavar="DATE", parser=day, help="As-of of the first drop.")
    ] = "2024-01-31",  # type: ignore[assignment]
    force: Annotated[bool, typer.Option("--force", help="Replace existing drops.")] = False,
    as_json: AsJson = False,
) -> None:
    """Generate drops of made-up entities whose label a model can learn, by the feature repo's simulation.py.

    Without drift, all months have the same distribution. With --drift, the columns move and the mechanism
    behind the label stays; with --drift concept=AMOUNT, the columns stay and the mechanism changes.

    Example: streamflow simulate drops --users 7000 --months 6 --drift watch_hours_30d=-0.2@3
    """
    from streamflow.local import simulate

    settings = settings_module.load()
    drops = simulate.simulate(
        settings.feast.repo,
        out,
        simulate.Simulation(users, months, seed, first_as_of, *simulate.parse_drift(drift or [])),
        overwrite=force,
        written=None
        if as_json
        else lambda drop: typer.echo(f"{drop.folder}  {words(settings).count(drop.rows)}"),
    )
    if as_json:
        print_json({"drops": [dataclasses.asdict(drop) for drop in drops]})


@app.command("list")
def list_drops(
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Verify first that no drop was changed or removed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the ingested drops, by as-of and then by load time."""
    from streamflow.drops import chain, ledger
    from streamflow.postgres.engine import transaction

    database = settings_module.load().database
    if verify:
        chain.verify(database)
    with transaction(database) as connection:
        entries = ledger.entries(connection)
    if as_json:
        print_json([dataclasses.asdict(entry) for entry in entries])
    elif not entries:
        typer.echo("No drop was taken yet. Take one with 'streamflow ingest DIR --as-of DATE'.")
    else:
        rows = [
            (e.drop_id, e.as_of, _minute(e.loaded_at), e.loaded_by, e.accepted, e.quarantined)
            for e in entries
        ]
        print_table(("drop", "as-of", "loaded at (UTC)", "by", "accepted", "quarantined"), rows, grouped=True)


@app.command()
def show(
    drop: Annotated[str, typer.Argument(help="Id of a drop, or its beginning.")], as_json: AsJson = False
) -> None:
    """Show one drop: where it came from, its files, their fingerprints and counts."""
    from streamflow.drops import ledger
    from streamflow.postgres.engine import transaction

    with transaction(settings_module.load().database) as connection:
        entry = ledger.entry(connection, drop)
        files = ledger.files(connection, entry.drop_id)
    if as_json:
        print_json({**dataclasses.asdict(entry), "files": [dataclasses.asdict(file) for file in files]})
        return
    typer.echo(f"{entry.drop_id}: as of {entry.as_of}, loaded at {_minute(entry.loaded_at)} UTC")
    typer.echo(f"by {entry.loaded_by} from {entry.origin}")
    typer.echo(f"content {entry.digest}")
    rows = [(f.file, f.sha256[:12], f.bytes, f.lines, f.accepted, f.quarantined) for f in files]
    print_table(("file", "sha256", "bytes", "rows", "accepted", "quarantined"), rows, grouped=True)


@app.command()
def quarantine(
    drop: Drop = None,
    table: Annotated[str | None, typer.Option(help="Only rows of this table.")] = None,
    most: Annotated[int, typer.Option("--most", "-n", min=1, help="Most rows to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show rejected rows: file, line, column, value and what is wrong, the newest drop first."""
    from streamflow.drops import ledger
    from streamflow.drops.quoting import shown
    from streamflow.postgres.engine import transaction

    settings = settings_module.load()
    with transaction(settings.database) as connection:
        drop_id = ledger.entry(connection, drop).drop_id if drop else None
        found = ledger.quarantined(connection, drop_id, table, most)
    if table is not None and not found:
        _check_table(settings, table)
    if as_json:
        print_json([dataclasses.asdict(row) for row in found])
    elif not found:
        typer.echo("Nothing is in quarantine.")
    else:
        rows = [
            (r.drop_id, f"{r.file}:{r.line}", r.column or "", shown(r.value or ""), r.reason) for r in found
        ]
        print_table(("drop", "where", "column", "value", "reason"), rows)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with one CSV file per table.")],
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Run the checks of 'ingest' without storing anything; exit 3 if the drop would be refused."""
    from streamflow.drops import inbox, load
    from streamflow.erasure.key import optional
    from streamflow.errors import DropRefused
    from streamflow.repo import definitions

    settings = settings_module.load()
    when = as_of or inbox.as_of(folder)
    with _progress(quiet=as_json) as progress:
        repo = definitions.load(settings.feast.repo)
        located = inbox.located(folder)
        key = optional(settings.erasure)
        examined = load.examine(
            settings.database, settings.ingest, repo, located, when, progress=progress, key=key
        )
    if as_json:
        print_json({**dataclasses.asdict(examined), "refused": bool(examined.problems)})
    else:
        _show_tables(examined.tables)
        for line in (*examined.notes, *examined.rejected):
            typer.echo(line)
    if examined.problems:
        raise DropRefused(
            f"The drop in {folder} would be refused.",
            details=examined.problems,
            hint="Correct the files and check again.",
        )


def _check_table(settings: Settings, table: str) -> None:
    from streamflow.errors import NotFound
    from streamflow.repo import definitions

    known = [item.name for item in definitions.load(settings.feast.repo).tables]
    if table not in known:
        raise NotFound(f"There is no table '{table}'.", hint=f"The tables are: {', '.join(known)}.")


def _facts(outcome: IngestOutcome) -> dict[str, Any]:
    return {
        "drop_id": outcome.drop_id,
        "as_of": outcome.as_of,
        "changed": outcome.changed,
        "accepted": outcome.accepted,
        "quarantined": outcome.quarantined,
        "loaded_at": outcome.loaded_at,
        "notes": outcome.notes,
    }


def _show_outcome(outcome: IngestOutcome) -> None:
    if not outcome.changed:
        typer.echo(
            f"Nothing changed: this content was loaded before, as {outcome.drop_id}"
            f" at {_minute(outcome.loaded_at)} UTC."
        )
        return
    _show_tables(outcome.tables)
    for note in outcome.notes:
        typer.echo(note)
    typer.echo(f"Stored as {outcome.drop_id}, loaded at {_minute(outcome.loaded_at)} UTC.")
    if any(outcome.quarantined.values()):
        typer.echo(f"What was rejected: streamflow drops quarantine --drop {outcome.drop_id}")


def _show_tables(tables: Sequence[TableOutcome]) -> None:
    print_table(
        ("table", "rows", "accepted", "quarantined"),
        [(item.table, item.lines, item.accepted, item.quarantined) for item in tables],
        grouped=True,
    )


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Report | None]:
    """A progress bar on stderr, when somebody is watching."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda step, done, total: bar.update(task, description=step, completed=done, total=total)


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")

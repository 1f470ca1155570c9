"""`streamflow erase`: a person's right to be forgotten."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, By, me, print_json, print_table, working

if TYPE_CHECKING:
    from streamflow.erasure.acts import Act
    from streamflow.forget.person import Outcome
    from streamflow.repo.words import Words
    from streamflow.settings import Settings


def erase(
    entity: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="Key of the entity; - reads it from stdin.")
    ] = None,
    *,
    why: Annotated[
        str | None, typer.Option(help="The reason, as recorded; must not name the entity.")
    ] = None,
    by: By = None,
    request: Annotated[str, typer.Option(help="Id of the request in another system.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count by place; change nothing.")] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Let drops bring an erased entity again.")
    ] = False,
    list_acts: Annotated[bool, typer.Option("--list", help="List erasures and withdrawals.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove everything about an entity, and refuse it in later drops; exit 4 if something is left to do.

    Example: streamflow erase 7590-VHVEG --why "request of the user" --request DSR-17
    """
    from streamflow.settings import load

    settings = load()
    if list_acts:
        _list(settings, as_json=as_json)
        return
    if entity is None:
        raise typer.BadParameter("name the entity, or give --list", param_hint="KEY")
    named = sys.stdin.readline().strip() if entity == "-" else entity
    if dry_run:
        _dry_run(settings, named, as_json=as_json)
        return
    if why is None:
        raise typer.BadParameter("give the reason", param_hint="--why")
    _act(settings, named, why, by or me(), request, withdraw=withdraw, as_json=as_json)


def _act(
    settings: Settings, entity: str, why: str, by: str, request: str, *, withdraw: bool, as_json: bool
) -> None:
    from streamflow.erasure.acts import Asked
    from streamflow.forget import person
    from streamflow.jobs.erase import places

    asked = Asked(why, by, request)
    if withdraw:
        made = person.withdraw(places(settings), entity, asked)
        if as_json:
            print_json({"erasure_id": made, "action": "withdraw"})
        else:
            typer.echo(f"Withdrawn, as {made}: a drop may bring this {words(settings).one} again.")
        return
    with working("Erasing", quiet=as_json):
        done = person.erase(places(settings), entity, asked)
    if as_json:
        print_json(done)
    else:
        verb = "Continued" if done.continued else "Erased, as"
        typer.echo(f"{verb} {done.erasure_id}.")
        _show(done, words(settings))
        if not done.left:
            typer.echo("Complete. Copies outside of StreamFlow, such as the delivered files, are not erased.")
    if done.left:
        raise typer.Exit(4)


def _dry_run(settings: Settings, entity: str, *, as_json: bool) -> None:
    from streamflow.forget import person
    from streamflow.jobs.erase import places

    with working("Counting", quiet=as_json):
        found = person.look(places(settings), entity)
    if as_json:
        print_json(found)
        return
    typer.echo("A dry run: nothing was changed.")
    _show(found, words(settings))


def _show(done: Outcome, named: Words) -> None:
    rows: list[tuple[str, int]] = [*done.rows.items(), *((f"run {run}", n) for run, n in done.runs.items())]
    if rows:
        print_table(("place", "rows"), rows, grouped=True)
    else:
        typer.echo(f"There is no row of this {named.one}.")
    if done.pinned:
        typer.echo(
            f"The models of {len(done.pinned)} runs keep values of this {named.one} among their golden rows, which their"
            f" digest pins: {', '.join(done.pinned)}. Promote a newer version, then delete those in MLflow."
        )
    for table, count in (done.mentions or {}).items():
        typer.echo(f"{count} rows of {table} name this {named.one} in a text that cannot be changed.")
    for line in (*done.notes, *(f"LEFT TO DO: {item}" for item in done.left)):
        typer.echo(line)


def _list(settings: Settings, *, as_json: bool) -> None:
    from streamflow.erasure import acts

    found = acts.history(settings.database)
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("Nobody was erased.")
    else:
        header = ("id", "at (UTC)", "action", "by", "request", "why", "complete", "rows")
        print_table(header, [_row(act) for act in found], grouped=True)


def _row(act: Act) -> tuple[object, ...]:
    rows = sum(sum(step["counts"].values()) for step in act.steps if step["step"] == "rows")
    complete = act.done_at is not None if act.action == "erase" else None
    return (
        act.erasure_id[:8],
        act.recorded_at,
        act.action,
        act.asked_by,
        act.request,
        act.why,
        complete,
        rows,
    )

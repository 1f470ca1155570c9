"""`streamflow explain`: replay the answer of a past moment, with everything that it was computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from streamflow.audit.replay import Answer, Canary, Logged
    from streamflow.repo.words import Words


def explain(
    entity: Annotated[str, typer.Argument(metavar="KEY", help="Key of an entity.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="ISO 8601, in UTC unless an offset is given; default: now."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was answered for an entity at a time, by which version and from which values, and compute it again.

    Example: streamflow explain 7590-VHVEG --at 2024-03-01T12:00
    """
    from datetime import UTC, datetime

    from streamflow.audit.replay import replay
    from streamflow.erasure.key import optional
    from streamflow.settings import load
    from streamflow.times import parse_moment

    moment = parse_moment(at) if at else datetime.now(UTC)
    settings = load()
    found = replay(settings.backends, settings.predict, entity, moment, optional(settings.erasure))
    if as_json:
        print_json(found)
        return
    named = words(settings)
    if found.answer is None or found.promoted_at is None:
        typer.echo(f"At {found.at:%Y-%m-%d %H:%M:%S} UTC nothing was in production.")
    else:
        typer.echo(
            f"At {found.at:%Y-%m-%d %H:%M:%S} UTC version {found.answer.version} was in production,"
            f" since {found.promoted_at:%Y-%m-%d %H:%M:%S}, put there by {found.promoted_by}: {found.why}"
        )
        _show_answer(found.answer)
    if found.canary is not None:
        _show_canary(found.canary, named)
    if found.erased_at is not None:
        typer.echo(f"This {named.one} was erased on {found.erased_at:%Y-%m-%d}: nothing about it is kept.")
        return
    if found.dropped:
        typer.echo(f"Values of that time may be gone, so nothing can be compared: {found.dropped}.")
    _show_logged(found.logged, found.dropped)


def _show_answer(answer: Answer) -> None:
    rows = [
        (view.view, name, _text(value), f"{view.as_of:%Y-%m-%d}", view.drop_id)
        for view in answer.views
        if view.as_of is not None
        for name, value in view.values.items()
    ]
    print_table(("feature view", "feature", "value", "as-of", "drop"), rows)
    if answer.refused:
        typer.echo(f"No prediction was possible: {answer.refused}.")
    else:
        typer.echo(f"Computed again: probability {answer.probability!r}, prediction {answer.prediction}")


def _show_canary(canary: Canary, named: Words) -> None:
    whose = "belongs" if canary.in_share else "does not belong"
    said = canary.answer.refused or f"probability {canary.answer.probability!r}"
    typer.echo(
        f"Version {canary.version} was on trial as canary, since {canary.started_at:%Y-%m-%d %H:%M:%S}. This"
        f" {named.one} {whose} to its share as set now ({canary.share:.0%}). It says: {said}"
    )


def _show_logged(logged: Logged | None, dropped: str) -> None:
    if logged is None:
        typer.echo("The prediction log has no answer of that time (it keeps a sample, for a limited time).")
        return
    if dropped:
        again = "it cannot be computed again"
    elif logged.equal:
        again = "computed again, it is the same to the last digit"
    else:
        again = f"computed again, it is NOT the same: {logged.recomputed!r} now"
    typer.echo(
        f"Answered at {logged.answered_at:%Y-%m-%d %H:%M:%S} UTC by version {logged.version} ({logged.alias}),"
        f" request {logged.request_id}: {logged.probability!r}; {again}."
    )


def _text(value: object) -> str:
    return "absent" if value is None else repr(value) if isinstance(value, float) else str(value)

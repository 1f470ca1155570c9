"""`streamflow models promote | rollback | history | at`: what is served, who promoted it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from streamflow.cli.output import AsJson, By, Why, me, print_json, print_table, working
from streamflow.model_version.aliases import PRODUCTION, PROMOTION_ALIASES, STAGING, PromotionAlias


def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Number of the version, or staging.")],
    *,
    why: Why,
    to: Annotated[
        PromotionAlias,
        typer.Option(help="Where to promote it; only the version at staging can go to production."),
    ] = PRODUCTION,
    by: By = None,
    expected: Annotated[
        int | None,
        typer.Option(help="Version that you believe the alias points at; fails if it points at another one."),
    ] = None,
    despite_gate: Annotated[
        bool,
        typer.Option("--despite-gate", help="Promote even what the gate refuses; the audit trail says so."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Promote a version by one step: to staging, or from staging to production, which predict serves.

    Example: streamflow models promote 2 --to staging --why "trained on February"
    """
    from streamflow.gate.decision import promote_through_gate
    from streamflow.registry import trail
    from streamflow.settings import load

    settings = load()
    with working("Promoting", quiet=as_json):
        move = promote_through_gate(
            settings.backends,
            settings.promotion,
            number(version),
            to,
            why=why,
            by=by or me(),
            # The caller decides upon what the alias points at now; a concurrent promotion is a conflict.
            expected=trail.targets(settings.database, settings.mlflow.registered_model)[to]
            if expected is None
            else expected,
            despite_gate=despite_gate,
        )
    _show_move(move, as_json)
    if to == STAGING and not as_json:
        typer.echo(f'Next: streamflow models promote {move.to_version} --to production --why "…"')


def gate(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number, or staging.")],
    as_json: AsJson = False,
) -> None:
    """Judge a version against the one in production, and give the reasons; exit 3 if it may not be promoted.

    Example: streamflow gate 3
    """
    from streamflow.errors import Refused
    from streamflow.gate.decision import decide
    from streamflow.settings import load

    with working("Judging", quiet=as_json):
        settings = load()
        report = decide(settings.backends, settings.promotion, number(version))
    if as_json:
        print_json(report)
    else:
        against = f"version {report.champion}" if report.champion is not None else "nothing in production"
        typer.echo(f"Version {report.version} against {against}: {report.verdict}.")
        print_table(
            ("rule", "verdict", "reason"),
            [(rule.name, "passed" if rule.passed else "failed", rule.reason) for rule in report.rules],
        )
        typer.echo(f"The report is stored in MLflow, at its run: {report.artifact}.html")
    if not report.passed:
        raise typer.Exit(Refused.exit_code)


def rollback(
    *,
    why: Why,
    by: By = None,
    to: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="An earlier production version; default: the previous one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put the previous version back into production.

    Example: streamflow rollback --why "complaints since this morning"
    """
    from streamflow.registry import trail
    from streamflow.registry.promote import rollback as roll_back
    from streamflow.settings import load

    settings = load()
    # The caller wants to leave the version that is in production now: a second, concurrent rollback is a conflict.
    expected = trail.targets(settings.database, settings.mlflow.registered_model)[PRODUCTION]
    _show_move(
        roll_back(
            settings.backends,
            why=why,
            by=by or me(),
            to=to,
            expected=expected,
        ),
        as_json,
    )


def history(
    acknowledge: Annotated[
        str | None,
        typer.Option(
            metavar="WHY", help="Record that rows were lost, with this reason; the chain is then valid again."
        ),
    ] = None,
    verify_with: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PUBLIC_KEY",
            help="Public key (PEM) that the registrar's signatures must match; may be repeated.",
        ),
    ] = None,
    head: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Copy of a signed head that was kept elsewhere, to verify against."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every promotion and rollback: who, when, from, to and why; and verify that no row was changed.

    Example: streamflow models history --verify-with public-key.pem
    """
    from streamflow.errors import DependencyDown
    from streamflow.registry import chain, heads, moves, trail
    from streamflow.registry.acknowledge import acknowledge as record_loss
    from streamflow.settings import load

    settings = load()
    keys = [heads.read_public_key(path) for path in verify_with or ()]
    kept = _kept_head(head, keys)
    if acknowledge is not None:
        record_loss(settings.database, settings.mlflow, why=acknowledge, by=me(), head=kept)
    note, anchor = "", ""
    try:
        anchor = moves.anchor(settings.mlflow)
        if not anchor and trail.history(settings.database, settings.mlflow.registered_model):
            note = "MLflow names no newest row, so rows cut off at the end would not be noticed."
    except DependencyDown as error:
        note = f"{error.what} Rows cut off at the end would not be noticed."
    rows = trail.history(settings.database, settings.mlflow.registered_model)
    if not as_json:
        show_moves(rows)
    newest = chain.verify(settings.database, anchor)
    losses = chain.losses(chain.links(settings.database))
    verdict = heads.verify(settings.database, keys, kept) if keys else None
    if as_json:
        signatures = {"signatures": verdict} if verdict else {}
        told = {"head": newest, "chain": "holds", "losses": losses, "note": note}
        print_json({"moves": rows, **told, **signatures})
        return
    typer.echo(f"The chain of these rows holds. Newest hash: {newest}")
    for loss in losses:
        typer.echo(loss)
    if verdict is not None:
        _show_verdict(verdict)
    if note:
        typer.echo(note)


def show_moves(rows: Sequence[Any]) -> None:
    """Print rows of the audit trail."""
    print_table(
        ("#", "at (UTC)", "by", "login", "what", "version", "gate", "why"),
        [
            (
                str(move.promotion_id),
                move.moved_at,
                move.moved_by,
                move.login,
                f"{move.action} {move.alias}",
                f"{move.from_version or '-'} → {move.to_version or '-'}",
                move.gate.get("verdict"),
                move.why + _since(move),
            )
            for move in rows
        ],
        below=("by", "login", "why"),
    )


def _kept_head(path: Path | None, keys: list[str]) -> Any:
    from streamflow.errors import UsageError
    from streamflow.registry import heads

    if path is None:
        return None
    if not keys:
        raise UsageError(
            "A copy of a signed head is verified with the public key of its signature.",
            hint="Add --verify-with PUBLIC_KEY.",
        )
    try:
        return heads.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} holds no signed head that can be read.",
            hint="Name a file `head.json` that the registrar wrote.",
        ) from error


def _show_verdict(verdict: Any) -> None:
    if verdict.signed is not None:
        later = f"; {verdict.unsigned} later row(s) are not signed yet" if verdict.unsigned else ""
        typer.echo(
            f"Signed up to row {verdict.signed.promotion_id} at {verdict.signed.signed_at[:19]} UTC{later}."
        )
    for sentence in verdict.lost:
        typer.echo(sentence)


def at(
    moment: Annotated[
        str,
        typer.Argument(metavar="TIME", help="ISO 8601, in UTC unless an offset is given: 2024-03-01T12:00."),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what was in production at a time, and who promoted it.

    Example: streamflow models at 2024-03-01T12:00
    """
    from streamflow.registry import trail, transitions
    from streamflow.settings import load
    from streamflow.times import parse_moment

    settings, when = load(), parse_moment(moment)
    move = trail.at(settings.database, settings.mlflow.registered_model, when)
    moves = trail.history(settings.database, settings.mlflow.registered_model)
    if restored := trail.lost(moves, when):
        typer.echo(
            f"Rows of that time were lost by the restore in row {restored.promotion_id}, which names them in"
            " 'streamflow models history --json'; another version may have been in production.",
            err=True,
        )
    if perhaps := trail.uncertain(moves, when):
        typer.echo(
            f"Perhaps {transitions.named(perhaps.to_version)} was there already: it was promoted in MLflow itself"
            f"{_since(perhaps)}, and noticed at {perhaps.moved_at:%Y-%m-%d %H:%M:%S} UTC.",
            err=True,
        )
    if as_json:
        print_json(move)
        return
    typer.echo(
        f"Version {move.to_version} was in production, since {move.moved_at:%Y-%m-%d %H:%M:%S} UTC{_since(move)},"
    )
    typer.echo(f"put there by {move.moved_by} (login {move.login}): {move.why}")
    print_table(("release", "value"), list(move.release.items()))


def _since(move: Any) -> str:
    """When an external change was made at the earliest, which is all that is known of it."""
    from streamflow.registry import actions

    since = move.facts.get(actions.NOT_BEFORE)
    return f" (done after {since[:19].replace('T', ' ')} UTC)" if since else ""


def _show_move(move: Any, as_json: bool) -> None:
    if as_json:
        print_json(move)
        return
    before = f", before version {move.from_version}" if move.from_version is not None else ""
    typer.echo(f"'{move.alias}' points at version {move.to_version}{before}.")


def number(version: str) -> int:
    """A version's number from what a user typed.

    Raises:
        UsageError: It is neither a number nor an alias.
        NotFound: The alias points at nothing.
    """
    from streamflow.errors import NotFound, UsageError
    from streamflow.registry import versions
    from streamflow.settings import load

    if version.isdigit():
        return int(version)
    if version not in PROMOTION_ALIASES:
        raise UsageError(
            f"'{version}' is not a model version.",
            hint=f"Give a number, or one of {', '.join(PROMOTION_ALIASES)}.",
        )
    number = versions.by_alias(load().mlflow, version)
    if number is None:
        raise NotFound(
            f"The alias '{version}' points at no version.",
            hint="List versions with 'streamflow models list'.",
        )
    return number

"""Promote and roll back: one step at a time, one at a time, with a reason, kept for ever."""

from __future__ import annotations

from typing import Any

from streamflow.errors import NotFound, Refused
from streamflow.registry import artifacts, history, moves, transitions, versions
from streamflow.registry.client import registry
from streamflow.registry.history import Move
from streamflow.registry.settle import settled
from streamflow.registry.transitions import ANY, Alias
from streamflow.settings import Settings


def promote(
    settings: Settings,
    version: int,
    alias: Alias,
    *,
    why: str,
    by: str,
    expected: int | None = ANY,
    gate: dict[str, Any] | None = None,
) -> Move:
    """Point `alias` at `version`, which goes None -> Staging -> Production in two promotions.

    Args:
        expected: Version the caller believes the alias points at (None: unset); ANY skips the comparison.
        gate: What the gate said, for the history.

    Raises:
        NotFound: there is no such version.
        PromotionConflict: the alias points elsewhere than expected.
        Refused: no reason was given, or the step is none that a version may take.
        ReleaseRefused: a file of the version fails its digest, or its golden rows do not reproduce.
    """
    _check_reason(why)
    with registry(settings) as client:
        release = artifacts.verified(client, settings, versions.get(settings, version))
    with moves.turn(settings) as (connection, client):
        current = settled(settings, connection, client)
        transitions.check_expected(alias, current[alias], expected)
        transitions.check_step(current, version, alias)
        return moves.move(
            connection,
            client,
            model=settings.mlflow.registered_model,
            alias=alias,
            from_version=current[alias],
            to_version=version,
            action="promote",
            by=by,
            why=why.strip(),
            release=release,
            gate=gate,
        )


def rollback(settings: Settings, *, why: str, by: str, to: int | None = None) -> Move:
    """Point `production` back at the version it pointed at before the last promotion.

    Rolling back twice goes back two promotions. Needs no training, no feature store and no gate.

    Args:
        to: A version that was in production before; default: the one before the present one.

    Raises:
        NotFound: there is nothing to go back to.
        Refused: no reason was given, or `to` was never in production.
        ReleaseRefused: a file of the version fails its digest.
    """
    _check_reason(why)
    model = settings.mlflow.registered_model
    with moves.turn(settings) as (connection, client):
        current = settled(settings, connection, client)["production"]
        past = [move for move in history.read(connection, model) if move.alias == "production"]
        target = transitions.previous(past, current) if to is None else to
        if target is None:
            raise NotFound(
                "There is no earlier version to roll back to.",
                hint="See 'streamflow models history'; promote a version with 'streamflow models promote'.",
            )
        if target == current:
            raise Refused(f"Version {target} is in production already.", hint="Nothing was changed.")
        if target not in {move.to_version for move in past}:
            raise Refused(
                f"Version {target} was never in production, so it is no rollback.",
                hint=f"Promote it: streamflow models promote {target} --to staging --why …",
            )
        return moves.move(
            connection,
            client,
            model=model,
            alias="production",
            from_version=current,
            to_version=target,
            action="rollback",
            by=by,
            why=why.strip(),
            release=artifacts.verified(client, settings, versions.get(settings, target)),
        )


def _check_reason(why: str) -> None:
    if not why.strip():
        raise Refused("A promotion needs a reason.", hint='Say why with --why "…".')

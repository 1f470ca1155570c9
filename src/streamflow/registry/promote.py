"""Promote and roll back: one step at a time, one at a time, with a reason, kept for ever."""

from __future__ import annotations

from typing import Any

from streamflow.errors import NotFound, Refused, ReleaseRefused
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION, PromotionAlias
from streamflow.registry import artifacts, history, moves, online_schema, transitions, versions
from streamflow.registry.history import Move
from streamflow.registry.settle import settled
from streamflow.registry.transitions import ANY
from streamflow.registry.versions import MANIFEST_TAG, Version
from streamflow.settings import Settings


def promote(
    settings: Settings,
    version: int,
    alias: PromotionAlias,
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
        if alias == PRODUCTION:
            moves.end_trials(
                connection,
                client,
                model=settings.mlflow.registered_model,
                current=current,
                of={version, current[alias]},
                by=by,
                why=f"version {version} goes to production: {why.strip()}",
            )
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


def rollback(
    settings: Settings, *, why: str, by: str, to: int | None = None, expected: int | None = ANY
) -> Move:
    """Point `production` back at the version it pointed at before the last promotion.

    Rolling back twice goes back two promotions. Needs no training, no feature server and no gate. Trials of the
    version that leaves end, before it does.

    Args:
        to: A version that was in production before; default: the one before the present one.
        expected: Version the caller believes is in production (None: none is); ANY skips the comparison.

    Raises:
        NotFound: there is nothing to go back to.
        PromotionConflict: another version is in production than expected.
        Refused: no reason was given, or `to` was never in production.
        ReleaseRefused: a file of the version fails its digest, it is not the one that was in production, or the
            online store cannot serve it.
    """
    _check_reason(why)
    model = settings.mlflow.registered_model
    with moves.turn(settings) as (connection, client):
        aliases = settled(settings, connection, client)
        current = aliases[PRODUCTION]
        transitions.check_expected(PRODUCTION, current, expected)
        past = [move for move in history.read(connection, model) if move.alias == PRODUCTION]
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
        version = versions.get(settings, target)
        _check_same(past, version)
        held = artifacts.verified_release(client, settings, version)
        online_schema.check(settings, target, held.contract)
        moves.end_trials(
            connection,
            client,
            model=model,
            current=aliases,
            of={target, current},
            by=by,
            why=f"{transitions.named(current)} was rolled back to version {target}: {why.strip()}",
        )
        return moves.move(
            connection,
            client,
            model=model,
            alias=PRODUCTION,
            from_version=current,
            to_version=target,
            action="rollback",
            by=by,
            why=why.strip(),
            release=artifacts.record(version, held.contract),
        )


def _check_same(past: list[Move], version: Version) -> None:
    """A registry that was emptied counts from 1 again: the number alone does not say that it is the same model."""
    digests = [
        str(move.release["manifest_sha256"])
        for move in past
        if move.to_version == version.version and move.release.get("manifest_sha256")
    ]
    if digests and digests[-1] != version.tags.get(MANIFEST_TAG):
        raise ReleaseRefused(
            f"Version {version.version} is not the one that was in production under this number: its manifest is"
            " another one.",
            hint=f"Restore MLflow from a backup, or promote it as a new one: streamflow models promote"
            f" {version.version} --to staging --why …",
        )


def _check_reason(why: str) -> None:
    if not why.strip():
        raise Refused("A promotion needs a reason.", hint='Say why with --why "…".')

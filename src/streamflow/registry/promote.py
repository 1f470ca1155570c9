"""Promote and roll back: one step at a time, under the promotion lock, with a reason that is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.errors import Refused
from streamflow.mlflow_api.transport import registry
from streamflow.model_version import tags
from streamflow.model_version.aliases import PRODUCTION, PromotionAlias
from streamflow.registry import actions, artifacts, moves, online_schema, transitions, versions
from streamflow.registry.reconcile import reconcile_locked
from streamflow.registry.trail import Change, Move
from streamflow.registry.transitions import UNCHECKED, Expected
from streamflow.settings import Backends, OutsideMoves


def promote(
    backends: Backends,
    outside_moves: OutsideMoves,
    version: int,
    alias: PromotionAlias,
    *,
    why: str,
    by: str,
    expected: Expected = UNCHECKED,
    gate: Mapping[str, Any] | None = None,
) -> Move:
    """Point `alias` at `version`, which goes None -> Staging -> Production in two promotions. Asks no gate.

    Args:
        backends: Where PostgreSQL and MLflow are.
        outside_moves: What to do about aliases that were moved in MLflow.
        version: Number of the version.
        alias: Where it goes.
        why: The reason, for the trail.
        by: Who promotes it, for the trail.
        expected: Version that the caller believes the alias points at.
        gate: What the gate said, for the trail.

    Raises:
        NotFound: There is no such version.
        PromotionConflict: The alias points at another version than expected.
        Refused: No reason was given, or the version may not take this step.
        ReleaseRefused: A file of the version fails its digest, or its golden rows do not reproduce.
    """
    _check_reason(why)
    with registry(backends.mlflow) as client:
        release = artifacts.verified(
            client, backends.mlflow.registered_model, versions.get(backends.mlflow, version)
        )
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        targets = reconcile_locked(outside_moves, locked)
        current = targets[alias]
        transitions.check_expected(alias, current, expected)
        transitions.check_step(targets, version, alias)
        if alias == PRODUCTION:
            locked.end_trials(
                targets,
                {version, current},
                by=by,
                why=f"version {version} goes to production: {why.strip()}",
            )
        return locked.move(
            Change(
                alias=alias,
                from_version=current,
                to_version=version,
                action=actions.PROMOTE,
                by=by,
                why=why.strip(),
                release=release,
                gate=gate or {},
            )
        )


def rollback(
    backends: Backends,
    outside_moves: OutsideMoves,
    *,
    why: str,
    by: str,
    to: int | None = None,
    expected: Expected = UNCHECKED,
) -> Move:
    """Point `production` back at the version it pointed at before the last promotion.

    Rolling back twice goes back two promotions. Needs no training, no feature server and no gate. Trials of the
    version that leaves production end before it leaves.

    Args:
        backends: Where PostgreSQL and MLflow are.
        outside_moves: What to do about aliases that were moved in MLflow.
        why: The reason, for the trail.
        by: Who rolls back, for the trail.
        to: A version that was in production before; default: the one before the present one.
        expected: Version that the caller believes is in production.

    Raises:
        NotFound: There is nothing to go back to.
        PromotionConflict: Another version is in production than expected.
        Refused: No reason was given, or `to` was never in production.
        ReleaseRefused: A file of the version fails its digest, it is not the one that was in production, or the
            online store cannot serve it.
    """
    _check_reason(why)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        targets = reconcile_locked(outside_moves, locked)
        current = targets[PRODUCTION]
        transitions.check_expected(PRODUCTION, current, expected)
        past = [move for move in locked.history() if move.alias == PRODUCTION]
        target = transitions.rollback_target(past, current, to)
        version = locked.version(target)
        transitions.check_same_model(past, target, version.tags.get(tags.MANIFEST_SHA256))
        verified = artifacts.verified_release(locked.client, locked.model, version)
        online_schema.check(backends.database, target, verified.contract)
        locked.end_trials(
            targets,
            {target, current},
            by=by,
            why=f"{transitions.named(current)} was rolled back to version {target}: {why.strip()}",
        )
        return locked.move(
            Change(
                alias=PRODUCTION,
                from_version=current,
                to_version=target,
                action=actions.ROLLBACK,
                by=by,
                why=why.strip(),
                release=artifacts.record(version, verified.contract),
            )
        )


def _check_reason(why: str) -> None:
    if not why.strip():
        raise Refused("A promotion needs a reason.", hint='Say why with --why "…".')

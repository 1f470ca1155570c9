"""Promote and roll back: one step at a time, under the promotion lock, with a reason that is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamflow import release_check
from streamflow.errors import NotFound, Refused, ReleaseRefused
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION, PromotionAlias
from streamflow.model_version.contract import Contract
from streamflow.postgres.engine import transaction
from streamflow.registry import actions, artifacts, moves, online_schema, releases, transitions, versions
from streamflow.registry.trail import Change, Move
from streamflow.registry.transitions import UNCHECKED, Expected
from streamflow.release import VersionPointer
from streamflow.settings import Backends


def promote(
    backends: Backends,
    version: int,
    alias: PromotionAlias,
    *,
    why: str,
    by: str,
    expected: Expected = UNCHECKED,
    gate: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Move:
    """Point `alias` at `version`, which goes None -> Staging -> Production in two promotions. Asks no gate.

    Args:
        backends: Where PostgreSQL and MLflow are.
        version: Number of the version.
        alias: Where it goes.
        why: The reason, for the trail.
        by: Who promotes it, for the trail.
        expected: Version that the caller believes the alias points at.
        gate: What the gate said, for the trail.
        facts: What else is known, for the trail.

    Raises:
        NotFound: There is no such version.
        PromotionConflict: The alias points at another version than expected.
        Refused: No reason was given, or the version may not take this step.
        ReleaseRefused: A file of the version fails its digest, or its golden rows do not reproduce.
    """
    _check_reason(why)
    registered = versions.get(backends.mlflow, version)
    model = backends.mlflow.registered_model
    with registry(backends.mlflow) as client:
        verified = artifacts.trained_here(backends.database, client, model, registered)
    if alias == PRODUCTION:
        verified.store(backends.database)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        targets = locked.targets()
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
                release=verified.record,
                gate=gate or {},
                facts=facts or {},
            )
        )


def rollback(
    backends: Backends,
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
        DependencyDown: PostgreSQL does not answer, or the version's files are only in MLflow, which does not.
    """
    _check_reason(why)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        targets = locked.targets()
        current = targets[PRODUCTION]
        transitions.check_expected(PRODUCTION, current, expected)
        past = [move for move in locked.history() if move.alias == PRODUCTION]
        target = transitions.rollback_target(past, current, to)
        record, contract = _release(backends, past, target)
        online_schema.check(backends.database, target, contract)
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
                release=record,
            )
        )


def _release(backends: Backends, past: Sequence[Move], version: int) -> tuple[Mapping[str, Any], Contract]:
    """What the ledger says of a version that was in production, and its contract.

    Its files are those in PostgreSQL, so that a rollback does not need MLflow. Only if they are not there, after an
    upgrade or because they are too old, MLflow's are verified against the ledger.
    """
    records = [move.release for move in past if move.to_version == version and move.release]
    model = backends.mlflow.registered_model
    pointer = VersionPointer(model, version, str(records[-1]["manifest_sha256"]) if records else "")
    with transaction(backends.database) as connection:
        files = releases.find(connection, pointer)
    if files is not None:
        return records[-1], release_check.check(pointer, files).contract
    with registry(backends.mlflow) as client:
        verified = artifacts.verified(client, model, versions.get(backends.mlflow, version))
    if records and verified.release.pointer != pointer:
        raise ReleaseRefused(
            f"Version {version} is not the one that was in production under this number: its manifest differs.",
            hint="Restore MLflow from a backup, or promote it as a new one: streamflow models promote"
            f" {version} --to staging --why …",
        )
    verified.store(backends.database)
    return verified.record, verified.release.contract


def demote(
    backends: Backends,
    alias: PromotionAlias,
    *,
    why: str,
    by: str,
    expected: Expected = UNCHECKED,
    facts: Mapping[str, Any] | None = None,
) -> Move:
    """Let `alias` stand for no version; without a version in production, predict answers nobody.

    Args:
        backends: Where PostgreSQL and MLflow are.
        alias: The alias.
        why: The reason, for the trail.
        by: Who asks for it, for the trail.
        expected: Version that the caller believes the alias stands for.
        facts: What else is known, for the trail.

    Raises:
        NotFound: It stands for none.
        PromotionConflict: It stands for another version than expected.
        Refused: No reason was given.
    """
    _check_reason(why)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        targets = locked.targets()
        current = targets[alias]
        transitions.check_expected(alias, current, expected)
        if current is None:
            raise NotFound(f"Nothing is at {alias}.", hint="See 'streamflow models history'.")
        if alias == PRODUCTION:
            locked.end_trials(
                targets, set(targets.values()), by=by, why=f"nothing is in production: {why.strip()}"
            )
        return locked.move(Change(alias, current, None, actions.DEMOTE, by, why.strip(), facts=facts or {}))


def _check_reason(why: str) -> None:
    if not why.strip():
        raise Refused("A promotion needs a reason.", hint='Say why with --why "…".')

"""Reconcile the audit trail with MLflow: complete interrupted moves, record external changes or revert them."""

from __future__ import annotations

from typing import Any

from streamflow.errors import Refused, StreamFlowError
from streamflow.model_version.aliases import ALL_ALIASES, PRODUCTION
from streamflow.registry import actions, artifacts, chain, moves, transitions
from streamflow.registry.moves import LockedRegistry
from streamflow.registry.trail import Change, Move
from streamflow.settings import Backends, OutsideMoves

NOBODY, STREAMFLOW = "unknown", "streamflow"


def reconcile(backends: Backends, outside_moves: OutsideMoves) -> list[Move]:
    """Reconcile the audit trail with MLflow.

    Returns:
        The rows that this added to the trail; empty when both agreed.
    """
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        before = len(locked.history())
        reconcile_locked(outside_moves, locked)
        return locked.history()[before:]


def acknowledge(backends: Backends, outside_moves: OutsideMoves, *, why: str, by: str) -> Move:
    """Record that rows were lost at the end, and why; from then on the chain is verified against this row.

    Raises:
        Refused: No reason was given, or nothing is lost.
        StreamFlowError: Rows before the end were changed, which cannot be acknowledged.
    """
    if not why.strip():
        raise Refused("An acknowledgement needs a reason.", hint="Say why: --acknowledge WHY")
    chain.verify(backends.database)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        lost = locked.read_anchor()
        problems = chain.broken(chain.read(locked.connection), lost)
        if not problems:
            raise Refused("The chain holds, so there is nothing to acknowledge.", hint="Nothing was changed.")
        current = reconcile_locked(outside_moves, locked)[PRODUCTION]
        facts = {"problems": list(problems), "anchor": lost}
        row = locked.record(
            Change(PRODUCTION, current, current, actions.ACKNOWLEDGE, by, why.strip(), facts=facts)
        )
        locked.anchor(row, acknowledged=True)
        return row


def reconcile_locked(outside_moves: OutsideMoves, locked: LockedRegistry) -> dict[str, int | None]:
    """Reconcile while holding the promotion lock.

    Returns:
        The version that each alias points at then.
    """
    past = locked.history()
    # Every command leaves trail and MLflow in agreement, so an external change is later than the newest row.
    agreed = {actions.NOT_BEFORE: f"{past[-1].recorded_at:%Y-%m-%dT%H:%M:%S.%f%z}"} if past else {}
    for intent in locked.open_intents():
        locked.complete(intent)
    current = {alias: _reconcile_alias(outside_moves, locked, alias, agreed) for alias in ALL_ALIASES}
    _put_stages_back(locked, current[PRODUCTION])
    over = transitions.overtaken(locked.history())
    locked.end_trials(
        over, set(over.values()), by=STREAMFLOW, why="the version entered production, or left it"
    )
    return {**current, **dict.fromkeys(over)}


def _reconcile_alias(
    outside_moves: OutsideMoves, locked: LockedRegistry, alias: str, agreed: dict[str, str]
) -> int | None:
    """Record an external change of one alias; revert it when `outside_moves` says so.

    Returns:
        The version that the alias points at then.
    """
    # Read again for each alias: what was recorded for one may explain the other.
    past = locked.history()
    recorded = transitions.recorded(past)[alias]
    pending = transitions.awaiting_revert(past, alias)
    actual = locked.target(alias)
    goal = pending.facts[actions.REVERT_TO] if pending is not None else recorded
    reverting = pending is not None or outside_moves == "revert"
    if actual != recorded:
        revert_to = {actions.REVERT_TO: goal} if reverting and actual != goal else {}
        if not revert_to:
            # Before the row is written: after a crash in between, stages that lag would look like a change.
            locked.point(alias, actual)
        facts = {"detected": "the alias", **agreed, **revert_to}
        locked.record(_external_change(locked, alias, recorded, actual, facts))
    if actual == goal or not reverting:
        return actual
    earlier = [move.release for move in past if move.to_version == goal and move.release]
    locked.move(
        Change(
            alias=alias,
            from_version=actual,
            to_version=goal,
            action=actions.REVERT,
            by=STREAMFLOW,
            why="promotion.outside_moves is 'revert'",
            release=earlier[-1] if earlier and goal is not None else {},
        )
    )
    return goal


def _external_change(
    locked: LockedRegistry,
    alias: str,
    recorded: int | None,
    actual: int | None,
    facts: dict[str, Any],
) -> Change:
    """The row about an external change of an alias; a version that may not be served is recorded as such."""
    release: dict[str, Any] = {}
    if actual is not None:
        try:
            release = artifacts.verified(locked.client, locked.model, locked.version(actual))
        except StreamFlowError as error:
            facts = {**facts, "refused": error.what}
    return Change(
        alias=alias,
        from_version=recorded,
        to_version=actual,
        action=actions.EXTERNAL,
        by=NOBODY,
        why="moved in MLflow, not through StreamFlow",
        facts=facts,
        release=release,
    )


def _put_stages_back(locked: LockedRegistry, production: int | None) -> None:
    """Stages mirror the aliases; one that was moved in MLflow is put back, and that is recorded."""
    if changed := locked.mirror_stages():
        locked.record(
            Change(
                alias=PRODUCTION,
                from_version=production,
                to_version=production,
                action=actions.EXTERNAL,
                by=NOBODY,
                why="a stage was moved in MLflow; stages mirror the aliases, so it was put back",
                facts={"detected": "a stage", "put_right": changed},
            )
        )

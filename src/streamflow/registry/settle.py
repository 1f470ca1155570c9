"""Before anything is moved: end what was cut short, and take note of what was moved past us."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from streamflow.errors import Refused, StreamFlowError
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version.aliases import ALL_ALIASES, PRODUCTION
from streamflow.registry import artifacts, history, moves, transitions, versions
from streamflow.registry.history import Move
from streamflow.registry.transitions import TAKE_BACK
from streamflow.settings import Settings

NOBODY, US = "unknown", "streamflow"
_OUTSIDE = "moved in MLflow, past StreamFlow"


def settle(settings: Settings) -> list[Move]:
    """Bring history and registry together.

    Returns:
        The rows that this added to the history; empty when both agreed.
    """
    with moves.turn(settings) as (connection, client):
        before = len(history.read(connection, settings.mlflow.registered_model))
        settled(settings, connection, client)
        return history.read(connection, settings.mlflow.registered_model)[before:]


def anchor(settings: Settings) -> str:
    """The row of the history that MLflow's database names as the newest; "" when it names none."""
    with registry(settings) as client:
        return moves.read_anchor(client, settings.mlflow.registered_model)


def acknowledge(settings: Settings, *, why: str, by: str) -> Move:
    """Record that rows were lost at the end, and why; from then on the chain is measured by this row.

    Raises:
        Refused: no reason was given, or nothing is lost.
        StreamFlowError: rows before the end were changed, which nothing makes good.
    """
    if not why.strip():
        raise Refused("An acknowledgement needs a reason.", hint="Say why: --acknowledge WHY")
    model = settings.mlflow.registered_model
    history.verify(settings)
    with moves.turn(settings) as (connection, client):
        lost = moves.read_anchor(client, model)
        problems = history.broken(history.chain(connection), lost)
        if not problems:
            raise Refused("The chain holds, so there is nothing to acknowledge.", hint="Nothing was changed.")
        current = settled(settings, connection, client)[PRODUCTION]
        row = history.append(
            connection,
            model=model,
            alias=PRODUCTION,
            from_version=current,
            to_version=current,
            action="acknowledge",
            by=by,
            why=why.strip(),
            facts={"problems": list(problems), "anchor": lost},
        )
        moves.anchor(connection, client, row, acknowledged=True)
        return row


def settled(settings: Settings, connection: sa.Connection, client: RegistryClient) -> dict[str, int | None]:
    """The same inside a turn.

    Returns:
        The version behind each alias.
    """
    model = settings.mlflow.registered_model
    past = history.read(connection, model)
    # Every command leaves both in agreement, so what is found now was done after the newest row.
    agreed = {"not_before": f"{past[-1].recorded_at:%Y-%m-%dT%H:%M:%S.%f%z}"} if past else {}
    for intent in moves.open_intents(connection, model):
        moves.end(connection, client, intent)
    current = {alias: _settle_alias(settings, connection, client, alias, agreed) for alias in ALL_ALIASES}
    _put_stages_right(connection, client, model, current)
    over = transitions.overtaken(history.read(connection, model))
    moves.end_trials(
        connection,
        client,
        model=model,
        current=over,
        of=set(over.values()),
        by=US,
        why="the version came into production, or left it",
    )
    return {**current, **dict.fromkeys(over)}


def _settle_alias(
    settings: Settings,
    connection: sa.Connection,
    client: RegistryClient,
    alias: str,
    agreed: dict[str, str],
) -> int | None:
    """Record a move made past us; take it back when the settings say so. Returns where the alias points then."""
    model = settings.mlflow.registered_model
    # Read anew for each: what was found for one alias may explain the other.
    past = history.read(connection, model)
    recorded = transitions.recorded(past)[alias]
    pending = transitions.to_take_back(past, alias)
    actual = client.alias(model, alias)
    goal = pending.facts[TAKE_BACK] if pending is not None else recorded
    strict = pending is not None or settings.promotion.outside_moves == "revert"
    if actual != recorded:
        taken_back = {TAKE_BACK: goal} if strict and actual != goal else {}
        if not taken_back:
            # Before it is recorded: a cut in between is found again, and stages that lag would look like a move.
            moves.point(client, model, alias, actual)
        _record_outside(settings, connection, client, alias, recorded, actual, {**agreed, **taken_back})
    if actual == goal or not strict:
        return actual
    earlier = [move.release for move in past if move.to_version == goal and move.release]
    moves.move(
        connection,
        client,
        model=model,
        alias=alias,
        from_version=actual,
        to_version=goal,
        action="revert",
        by=US,
        why="promotion.outside_moves is 'revert'",
        release=earlier[-1] if earlier and goal is not None else {},
    )
    return goal


def _record_outside(
    settings: Settings,
    connection: sa.Connection,
    client: RegistryClient,
    alias: str,
    recorded: int | None,
    actual: int | None,
    known: dict[str, Any],
) -> None:
    facts: dict[str, Any] = {"detected": "the alias", **known}
    release: dict[str, Any] = {}
    if actual is not None:
        try:
            release = artifacts.verified(client, settings, versions.get(settings, actual))
        except StreamFlowError as error:
            facts["refused"] = error.what
    row = history.append(
        connection,
        model=settings.mlflow.registered_model,
        alias=alias,
        from_version=recorded,
        to_version=actual,
        action="outside",
        by=NOBODY,
        why=_OUTSIDE,
        facts=facts,
        release=release,
    )
    moves.anchor(connection, client, row)


def _put_stages_right(
    connection: sa.Connection, client: RegistryClient, model: str, current: dict[str, int | None]
) -> None:
    """Stages follow the aliases; one that was moved by hand is put back, and that is recorded."""
    changed = moves.mirror(client, model)
    if changed:
        row = history.append(
            connection,
            model=model,
            alias=PRODUCTION,
            from_version=current[PRODUCTION],
            to_version=current[PRODUCTION],
            action="outside",
            by=NOBODY,
            why="a stage was moved in MLflow; stages follow the aliases, so it was put back",
            facts={"detected": "a stage", "put_right": changed},
        )
        moves.anchor(connection, client, row)

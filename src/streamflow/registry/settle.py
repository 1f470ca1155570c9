"""Before anything is moved: end what was cut short, and take note of what was moved past us."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from streamflow.errors import ReleaseRefused, StreamFlowError
from streamflow.registry import artifacts, history, moves, transitions, versions
from streamflow.registry.client import RegistryClient, registry
from streamflow.registry.history import Move
from streamflow.settings import Settings

NOBODY = "unknown"
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


def settled(settings: Settings, connection: sa.Connection, client: RegistryClient) -> dict[str, int | None]:
    """The same inside a turn.

    Returns:
        The version behind each alias.
    """
    model = settings.mlflow.registered_model
    for intent in moves.open_intents(connection, model):
        moves.end(connection, client, intent)
    current: dict[str, int | None] = {}
    for alias in moves.STAGES:
        # Read anew for each: what was found for one alias may explain the other.
        recorded = transitions.recorded(history.read(connection, model))[alias]
        actual = client.alias(model, alias)
        current[alias] = actual
        if actual != recorded:
            current[alias] = _outside(settings, connection, client, alias, recorded, actual)
    if any(current.values()):
        _put_stages_right(connection, client, model, current)
    return current


def _outside(
    settings: Settings,
    connection: sa.Connection,
    client: RegistryClient,
    alias: str,
    recorded: int | None,
    actual: int | None,
) -> int | None:
    """Record a move made past us; take it back when the settings say so. Returns where the alias points then."""
    model = settings.mlflow.registered_model
    facts: dict[str, Any] = {"detected": "the alias"}
    release: dict[str, Any] = {}
    if actual is not None:
        try:
            release = artifacts.verified(client, settings, versions.get(settings, actual))
        except (ReleaseRefused, StreamFlowError) as error:
            facts["refused"] = error.what
    row = history.append(
        connection,
        model=model,
        alias=alias,
        from_version=recorded,
        to_version=actual,
        action="outside",
        by=NOBODY,
        why=_OUTSIDE,
        facts=facts,
        release=release,
    )
    moves.anchor(client, row)
    if settings.promotion.outside_moves == "accept":
        if actual is not None:
            moves.point(client, model, alias, actual)
        return actual
    earlier = [move.release for move in history.read(connection, model) if move.to_version == recorded]
    moves.move(
        connection,
        client,
        model=model,
        alias=alias,
        from_version=actual,
        to_version=recorded,
        action="revert",
        by="streamflow",
        why="promotion.outside_moves is 'revert'",
        release=earlier[-1] if earlier and recorded is not None else {},
    )
    return recorded


def _put_stages_right(
    connection: sa.Connection, client: RegistryClient, model: str, current: dict[str, int | None]
) -> None:
    """Stages follow the aliases; one that was moved by hand is put back, and that is recorded."""
    changed = moves.mirror(client, model)
    if changed:
        row = history.append(
            connection,
            model=model,
            alias="production",
            from_version=current["production"],
            to_version=current["production"],
            action="outside",
            by=NOBODY,
            why="a stage was moved in MLflow; stages follow the aliases, so it was put back",
            facts={"detected": "a stage", "put_right": changed},
        )
        moves.anchor(client, row)

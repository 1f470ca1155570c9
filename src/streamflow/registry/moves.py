"""One move of an alias, announced before and recorded after, so that a crash in between is noticed and ended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from streamflow.errors import StreamFlowError
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version.aliases import PRODUCTION, STAGING, TRIAL_ALIASES
from streamflow.postgres.engine import held
from streamflow.registry import history, transitions
from streamflow.registry.history import Move
from streamflow.settings import Settings

STAGES: dict[str, str] = {PRODUCTION: "Production", STAGING: "Staging"}
_WAIT_SECONDS = 60


@contextlib.contextmanager
def turn(settings: Settings) -> Iterator[tuple[sa.Connection, RegistryClient]]:
    """The one turn to move aliases: a connection that holds the lock and commits each statement, and a client.

    Whoever comes second waits here, then sees the first one's result as current.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
        Refused: the others take too long.
    """
    name = settings.mlflow.registered_model
    with held(settings, f"promote:{name}", _WAIT_SECONDS) as connection, registry(settings) as client:
        yield connection, client


def move(
    connection: sa.Connection,
    client: RegistryClient,
    *,
    model: str,
    alias: str,
    from_version: int | None,
    to_version: int | None,
    action: str,
    by: str,
    why: str,
    facts: dict[str, Any] | None = None,
    release: dict[str, Any] | None = None,
    gate: dict[str, Any] | None = None,
) -> Move:
    """Announce, move, record. A failure after the announcement is ended by the next command (see settle.py)."""
    intent_id = connection.execute(
        sa.text(
            "INSERT INTO streamflow.promotion_intents (begun_by, model, alias, from_version, to_version, action,"
            " why, facts, release, gate) VALUES (:by, :model, :alias, :from_version, :to_version, :action, :why,"
            " CAST(:facts AS jsonb), CAST(:release AS jsonb), CAST(:gate AS jsonb)) RETURNING intent_id"
        ),
        {
            "by": by,
            "model": model,
            "alias": alias,
            "from_version": from_version,
            "to_version": to_version,
            "action": action,
            "why": why,
            "facts": json.dumps(facts or {}),
            "release": json.dumps(release or {}),
            "gate": json.dumps(gate or {}),
        },
    ).scalar_one()
    point(client, model, alias, to_version)
    done = history.append(
        connection,
        model=model,
        alias=alias,
        from_version=from_version,
        to_version=to_version,
        action=action,
        by=by,
        why=why,
        facts=facts,
        release=release,
        gate=gate,
        intent_id=intent_id,
    )
    anchor(connection, client, done)
    return done


def end_trials(
    connection: sa.Connection,
    client: RegistryClient,
    *,
    model: str,
    current: transitions.Aliases,
    of: set[int | None],
    by: str,
    why: str,
) -> None:
    """End the trials of some versions: what comes into production or leaves it is on trial no more."""
    for alias in TRIAL_ALIASES:
        version = current.get(alias)
        if version is not None and version in of:
            move(
                connection,
                client,
                model=model,
                alias=alias,
                from_version=version,
                to_version=None,
                action="end trial",
                by=by,
                why=why,
            )


def open_intents(connection: sa.Connection, model: str) -> list[Any]:
    """Announcements without a row in the history, oldest first."""
    return list(
        connection.execute(
            sa.text(
                "SELECT i.* FROM streamflow.promotion_intents i LEFT JOIN streamflow.promotions p USING (intent_id)"
                " WHERE i.model = :model AND p.intent_id IS NULL ORDER BY i.intent_id"
            ),
            {"model": model},
        )
    )


def end(connection: sa.Connection, client: RegistryClient, intent: Any) -> Move:
    """End a move that was cut short: recorded when its alias was moved, else abandoned."""
    current = client.alias(intent.model, intent.alias)
    reached = current == intent.to_version
    if reached:
        point(client, intent.model, intent.alias, current)
    begun: datetime = intent.begun_at
    done = history.append(
        connection,
        model=intent.model,
        alias=intent.alias,
        from_version=intent.from_version,
        to_version=intent.to_version if reached else intent.from_version,
        action=intent.action if reached else "abandon",
        by=intent.begun_by,
        why=intent.why,
        facts={**intent.facts, "recovered": True, "intended": intent.to_version},
        release=intent.release if reached else {},
        gate=intent.gate,
        intent_id=intent.intent_id,
        moved_at=begun,
    )
    anchor(connection, client, done)
    return done


def point(client: RegistryClient, model: str, alias: str, version: int | None) -> None:
    """Set an alias (None unsets it) and let the stages follow; may be repeated."""
    if version is None:
        client.delete_alias(model, alias)
    else:
        client.set_alias(model, alias, version)
        if alias == PRODUCTION and client.alias(model, STAGING) == version:
            client.delete_alias(model, STAGING)
    mirror(client, model)


def mirror(client: RegistryClient, model: str) -> list[str]:
    """Let readers of `models:/NAME/Production` see what readers of the alias see.

    Returns:
        What had to be put right, a sentence each.
    """
    wanted = {at: STAGES[alias] for alias in reversed(STAGES) if (at := client.alias(model, alias))}
    changed = []
    # Versions that an alias names come first: at no time is a stage empty that is to have one.
    for item in sorted(client.versions(model), key=lambda item: int(item["version"]) not in wanted):
        version, stage = int(item["version"]), str(item.get("current_stage", "None"))
        should = wanted.get(version)
        if should == stage or (should is None and stage not in STAGES.values()):
            continue
        client.set_stage(model, version, should or "Archived")
        changed.append(f"version {version} was in stage {stage}, which is now {should or 'Archived'}")
    return changed


def anchor(
    connection: sa.Connection, client: RegistryClient, done: Move, *, acknowledged: bool = False
) -> None:
    """Name the newest row in MLflow's database, so that rows cut off at the end are missed. Not worth a failure.

    Args:
        acknowledged: Forget a row that the chain has lost. Else the anchor goes on naming that one.
    """
    with contextlib.suppress(StreamFlowError):
        if acknowledged or history.has_row(connection, read_anchor(client, done.model)):
            client.set_model_tag(done.model, history.ANCHOR_TAG, f"{done.promotion_id}:{done.hash}")


def read_anchor(client: RegistryClient, model: str) -> str:
    """The anchor; "" when there is none."""
    return client.model_tags(model).get(history.ANCHOR_TAG, "")

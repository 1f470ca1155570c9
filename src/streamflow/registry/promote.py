"""Move an alias under a lock, mirror the stage, and keep who, when, from, to and why for ever."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from streamflow import tracking
from streamflow.database import lock_key, transaction
from streamflow.errors import NotFound, PromotionConflict, Refused
from streamflow.registry import versions
from streamflow.settings import Settings

Alias = Literal["production", "staging"]
STAGES: dict[str, str] = {"production": "Production", "staging": "Staging"}
ANY = -1
"""Expected version that stands for "whatever is there"."""


@dataclass(frozen=True)
class Move:
    """One row of the history.

    Attributes:
        moved_at: When.
        moved_by: Who.
        alias: Which alias was moved.
        from_version: Where it pointed; None for the first time.
        to_version: Where it points since.
        action: `promote` or `rollback`.
        why: The reason given.
        facts: What was known about the version then.
    """

    moved_at: datetime
    moved_by: str
    alias: str
    from_version: int | None
    to_version: int | None
    action: str
    why: str
    facts: dict[str, Any]


def promote(
    settings: Settings, version: int, alias: Alias, *, why: str, by: str, expected: int | None = ANY
) -> Move:
    """Point `alias` at `version`.

    Args:
        expected: Version the caller believes the alias points at (None: unset); ANY skips the comparison.

    Raises:
        NotFound: there is no such version.
        PromotionConflict: the alias points elsewhere than expected.
        Refused: no reason was given, or the version was not registered by a training.
    """
    target = versions.get(settings, version)
    if versions.MANIFEST_TAG not in target.tags:
        raise Refused(
            f"Version {version} has no manifest, so nothing pins its files; it cannot be served.",
            hint="Register models with 'streamflow train'.",
        )
    facts = {key.removeprefix("streamflow."): value for key, value in target.tags.items()}
    return _move(settings, version, alias, action="promote", why=why, by=by, expected=expected, facts=facts)


def rollback(settings: Settings, *, why: str, by: str, alias: Alias = "production") -> Move:
    """Point `alias` back at the version it pointed at before the last promotion.

    Rolling back twice goes back two promotions.

    Raises:
        NotFound: there is nothing to go back to.
    """
    current = versions.by_alias(settings, alias)
    target = previous(history(settings, alias=alias), current)
    if target is None:
        raise NotFound(
            f"There is no earlier version behind '{alias}' to roll back to.",
            hint="See 'streamflow models history'; promote a version with 'streamflow models promote'.",
        )
    return _move(settings, target, alias, action="rollback", why=why, by=by, expected=current, facts={})


def previous(moves: Sequence[Move], current: int | None) -> int | None:
    """The version behind the current one: promotions push, rollbacks pop. Pure.

    Args:
        moves: The alias' history, oldest first.
        current: Version the alias points at; a move made past us counts as pushed.
    """
    stack: list[int] = []
    for move in moves:
        if move.to_version is None:
            continue
        if move.action == "rollback" and move.to_version in stack:
            while stack[-1] != move.to_version:
                stack.pop()
        elif not stack or stack[-1] != move.to_version:
            stack.append(move.to_version)
    if current is not None and (not stack or stack[-1] != current):
        stack.append(current)
    return stack[-2] if len(stack) > 1 else None


def history(settings: Settings, *, alias: str | None = None) -> list[Move]:
    """Every move of the model's aliases, oldest first."""
    with transaction(settings) as connection:
        rows = connection.execute(
            sa.text(
                "SELECT moved_at, moved_by, alias, from_version, to_version, action, why, facts"
                " FROM streamflow.promotions WHERE model = :model AND (CAST(:alias AS text) IS NULL OR alias = :alias)"
                " ORDER BY promotion_id"
            ),
            {"model": settings.mlflow.registered_model, "alias": alias},
        )
        return [Move(**row._mapping) for row in rows]


def _move(
    settings: Settings,
    version: int,
    alias: Alias,
    *,
    action: Literal["promote", "rollback"],
    why: str,
    by: str,
    expected: int | None,
    facts: dict[str, Any],
) -> Move:
    if not why.strip():
        raise Refused("A promotion needs a reason.", hint='Say why with --why "…".')
    name = settings.mlflow.registered_model
    with transaction(settings) as connection, tracking.client(settings) as client:
        # Whoever comes second waits here, then sees the first one's result as current.
        connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(f"promote:{name}")}
        )
        current = versions.by_alias(settings, alias)
        if expected not in (ANY, current):
            raise PromotionConflict(
                f"'{alias}' points at version {current}, not at {expected} as expected: somebody else moved it.",
                hint="Look at 'streamflow models history', then decide again.",
            )
        row = connection.execute(
            sa.text(
                "INSERT INTO streamflow.promotions"
                " (moved_by, model, alias, from_version, to_version, action, why, facts)"
                " VALUES (:by, :model, :alias, :from_version, :to_version, :action, :why, CAST(:facts AS jsonb))"
                " RETURNING moved_at, moved_by, alias, from_version, to_version, action, why, facts"
            ),
            {
                "by": by,
                "model": name,
                "alias": alias,
                "from_version": current,
                "to_version": version,
                "action": action,
                "why": why.strip(),
                "facts": json.dumps(facts),
            },
        ).one()
        # Last, so that a registry that is down leaves no row behind.
        client.set_registered_model_alias(name, alias, str(version))
        _mirror_stage(client, name, alias, version)
        return Move(**row._mapping)


def _mirror_stage(client: Any, name: str, alias: Alias, version: int) -> None:
    """Let readers of `models:/NAME/Production` see what readers of the alias see."""
    if alias == "production" and versions._by_alias(client, name, "staging") == version:
        client.delete_registered_model_alias(name, "staging")
    with warnings.catch_warnings():
        # Stages are deprecated since MLflow 2.9; the mirror is kept for old readers.
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(
            name, str(version), STAGES[alias], archive_existing_versions=True
        )

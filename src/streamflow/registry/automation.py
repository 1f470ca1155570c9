"""Pause and resume of automatic promotion: a rollback or a demotion pauses it, a person resumes it."""

from __future__ import annotations

from streamflow.errors import Refused
from streamflow.model_version.aliases import PRODUCTION
from streamflow.registry import actions, moves, trail, transitions
from streamflow.registry.trail import Change, Move
from streamflow.settings import DatabaseSettings, MlflowSettings


def resume(database: DatabaseSettings, mlflow: MlflowSettings, *, why: str, by: str) -> Move:
    """Let scheduled trainings promote again.

    Raises:
        Refused: No reason was given, or nothing is paused.
        DependencyDown: PostgreSQL does not answer.
    """
    if not why.strip():
        raise Refused("Resuming needs a reason.", hint='Say why with --why "…".')
    with moves.promotion_lock(database, mlflow) as locked:
        past = locked.history()
        if transitions.pause(past) is None:
            raise Refused("Automatic promotion is not paused.", hint="Nothing was changed.")
        current = transitions.recorded(past)[PRODUCTION]
        return locked.record(Change(PRODUCTION, current, current, actions.RESUME, by, why.strip()))


def paused(database: DatabaseSettings, model: str) -> str:
    """Since when and why automatic promotion is paused, and how to go on; "" when it is not."""
    since = transitions.pause(trail.history(database, model))
    if since is None:
        return ""
    what = "rollback" if since.action == actions.ROLLBACK else "demotion"
    return (
        f"Automatic promotion is paused since the {what} of {since.moved_at:%Y-%m-%d %H:%M} UTC by"
        f' {since.moved_by} ({since.why}). Resume it: streamflow promotion resume --why "…"'
    )

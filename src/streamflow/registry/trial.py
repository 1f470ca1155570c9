"""Put a version on trial beside production, by alias.

`canary` answers a share of the entities, `challenger` is scored in shadow. Both are recorded in the same audit trail
as promotions, because a canary answers users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.errors import NotFound, Refused
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION, TrialAlias
from streamflow.registry import actions, artifacts, moves, online_schema, versions
from streamflow.registry.trail import Change, Move
from streamflow.settings import Backends


def start(
    backends: Backends,
    version: int,
    alias: TrialAlias,
    *,
    why: str,
    by: str,
    facts: Mapping[str, Any] | None = None,
) -> Move:
    """Point `alias` at `version`; predict follows within seconds. Needs another version in production to compare with.

    Raises:
        NotFound: There is no such version.
        Refused: No reason was given, the version is in production itself, or nothing is in production.
        ReleaseRefused: A file of the version fails its digest, its golden rows do not reproduce, or the online store
            cannot serve it.
    """
    _check_reason(why)
    registered = versions.get(backends.mlflow, version)
    model = backends.mlflow.registered_model
    with registry(backends.mlflow) as client:
        verified = artifacts.trained_here(backends.database, client, model, registered)
    online_schema.check(backends.database, version, verified.release.contract)
    verified.store(backends.database)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        current = locked.targets()
        production = current[PRODUCTION]
        if production in (None, version):
            reason = (
                "is in production itself"
                if production == version
                else "has no version in production beside it"
            )
            raise Refused(
                f"Version {version} cannot be on trial: it {reason}.",
                hint="Trials compare a version with another one in production.",
            )
        return locked.move(
            Change(
                alias,
                current[alias],
                version,
                actions.START_TRIAL,
                by,
                why.strip(),
                facts=facts or {},
                release=verified.record,
            )
        )


def stop(
    backends: Backends, alias: TrialAlias, *, why: str, by: str, facts: Mapping[str, Any] | None = None
) -> Move:
    """Unset `alias`; production answers everybody within seconds.

    Raises:
        NotFound: Nothing is on trial there.
        Refused: No reason was given.
    """
    _check_reason(why)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        current = locked.targets()[alias]
        if current is None:
            raise NotFound(f"Nothing is on trial as '{alias}'.", hint="See 'streamflow models history'.")
        return locked.move(
            Change(alias, current, None, actions.END_TRIAL, by, why.strip(), facts=facts or {})
        )


def _check_reason(why: str) -> None:
    if not why.strip():
        raise Refused("A trial needs a reason.", hint='Say why with --why "…".')

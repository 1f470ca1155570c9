"""Put a version on trial beside production, by alias.

`canary` answers a share of the entities, `challenger` is scored in shadow. Both are recorded in the same audit trail
as promotions, because a canary answers users.
"""

from __future__ import annotations

from streamflow.errors import NotFound, Refused
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION, TRIAL_ALIASES, TrialAlias
from streamflow.registry import artifacts, history, moves, online_schema, versions
from streamflow.registry.history import Move
from streamflow.registry.settle import settled
from streamflow.settings import Settings


def start(settings: Settings, version: int, alias: TrialAlias, *, why: str, by: str) -> Move:
    """Point `alias` at `version`; predict follows within seconds. Needs a version in production to stand beside.

    Raises:
        NotFound: there is no such version.
        Refused: no reason was given, or the version is in production itself, or nothing is.
        ReleaseRefused: a file of the version fails its digest, or its golden rows do not reproduce, or the
            online store cannot serve it.
    """
    _check_reason(why)
    with registry(settings) as client:
        held = versions.get(settings, version)
        contract = artifacts.verified_release(client, settings, held).contract
    online_schema.check(settings, version, contract)
    model = settings.mlflow.registered_model
    with moves.turn(settings) as (connection, client):
        current = settled(settings, connection, client)
        production = current[PRODUCTION]
        if production in (None, version):
            standing = (
                "is in production itself"
                if production == version
                else "has no version in production beside it"
            )
            raise Refused(
                f"Version {version} cannot be on trial: it {standing}.",
                hint="Trials compare a version with another one in production.",
            )
        return moves.move(
            connection,
            client,
            model=model,
            alias=alias,
            from_version=current[alias],
            to_version=version,
            action="trial",
            by=by,
            why=why.strip(),
            release=artifacts.record(held, contract),
        )


def stop(settings: Settings, alias: TrialAlias, *, why: str, by: str) -> Move:
    """Unset `alias`; production answers everybody within seconds.

    Raises:
        NotFound: nothing is on trial there.
        Refused: no reason was given.
    """
    _check_reason(why)
    model = settings.mlflow.registered_model
    with moves.turn(settings) as (connection, client):
        current = settled(settings, connection, client)[alias]
        if current is None:
            raise NotFound(f"Nothing is on trial as '{alias}'.", hint="See 'streamflow models history'.")
        return moves.move(
            connection,
            client,
            model=model,
            alias=alias,
            from_version=current,
            to_version=None,
            action="end trial",
            by=by,
            why=why.strip(),
        )


def running(settings: Settings) -> dict[str, int]:
    """The versions on trial, by alias, as the history has them."""
    found: dict[str, int] = {}
    for move in history.history(settings):
        if move.alias in TRIAL_ALIASES and move.action != "abandon":
            found.pop(move.alias, None)
            if move.to_version is not None:
                found[move.alias] = move.to_version
    return found


def _check_reason(why: str) -> None:
    if not why.strip():
        raise Refused("A trial needs a reason.", hint='Say why with --why "…".')

"""One look of the registrar: bring MLflow in line, answer what is asked for there, store what is missing."""

from __future__ import annotations

from streamflow import log
from streamflow.errors import DependencyDown, StreamFlowError
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION, TRIAL_ALIASES
from streamflow.postgres.engine import transaction
from streamflow.registrar.answers import answer
from streamflow.registry import artifacts, moves, releases, trail, transitions, versions
from streamflow.registry.trail import Move
from streamflow.settings import Backends, PromotionSettings

_LOG = log.get(__name__)


def look(backends: Backends, promotion: PromotionSettings) -> list[Move]:
    """Look at MLflow once. It may end at any point: the next look goes on from there.

    Returns:
        The rows that this added to the ledger.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
        Refused: Another process held the promotion lock for too long.
    """
    with registry(backends.mlflow) as client:
        # Without the lock first: a rollback must not wait for an MLflow that hangs.
        client.model(backends.mlflow.registered_model)
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        requests = locked.follow()
        targets = locked.targets()
    # Without the lock: downloads and the gate take seconds, and a rollback must not wait for them.
    store_missing(backends)
    rows = [answer(backends, promotion, request, targets) for request in requests]
    return [row for row in rows if row is not None]


def forget(backends: Backends, keep: int) -> None:
    """Delete the files of old releases.

    Args:
        backends: Where PostgreSQL is.
        keep: How many of the releases that were in production are kept.
    """
    # With the lock: a rollback that has found the files of a release must find them when it has moved.
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        number = releases.forget(locked.connection, keep)
    if number:
        _LOG.info("old releases deleted", releases=number)


def store_missing(backends: Backends) -> None:
    """Store the releases that may be asked for and are not in PostgreSQL: after an upgrade, and after a restore."""
    database, model = backends.database, backends.mlflow.registered_model
    past = trail.history(database, model)
    targets = transitions.recorded(past)
    previous = transitions.previous([m for m in past if m.alias == PRODUCTION], targets[PRODUCTION])
    current = [targets[alias] for alias in (PRODUCTION, *TRIAL_ALIASES)]
    wanted = [version for version in (*current, previous) if version is not None]
    with transaction(database) as connection:
        missing = releases.missing(connection, model, wanted)
    for pointer in missing:
        try:
            with registry(backends.mlflow) as client:
                registered = versions.get(backends.mlflow, pointer.version)
                found = artifacts.checked(database, client, model, registered)
        except DependencyDown:
            raise
        except StreamFlowError as error:
            _LOG.error("release not stored", version=pointer.version, why=error.what)
            continue
        if found.release.pointer == pointer:
            found.store(database)

"""Answer a request that somebody made in MLflow: through the gate, by the policy, with a row in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow import log
from streamflow.errors import Busy, NotFound, PromotionConflict, Refused, StreamFlowError, UsageError
from streamflow.gate import decision
from streamflow.model_version.aliases import CANARY, CHALLENGER, PRODUCTION, STAGING, TrialAlias
from streamflow.registry import actions, artifacts, moves, promote, trial, versions
from streamflow.registry.alignment import Request, Targets
from streamflow.registry.trail import Change, Move
from streamflow.settings import Backends, PromotionSettings

_LOG = log.get(__name__)
NOBODY = "unknown"
_TRIALS: tuple[TrialAlias, ...] = (CANARY, CHALLENGER)


def answer(
    backends: Backends, promotion: PromotionSettings, request: Request, targets: Targets
) -> Move | None:
    """Do what a request asks for, or refuse it; either way the ledger says so, and MLflow shows the outcome.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        promotion: Rules of the gate, and what to do about moves in MLflow.
        request: The request.
        targets: What each alias stood for when the request was seen.

    Returns:
        The row that answers it; None if somebody else did meanwhile what it asks for.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer; the request stays open.
        PromotionConflict: Another move came first; the request stays open.
        Busy: Another process held the promotion lock for too long; the request stays open.
    """
    try:
        if promotion.outside_moves == "revert":
            raise Refused("Moves in MLflow are not accepted: promotion.outside_moves is 'revert'.")
        if request.version is not None:
            check_known(backends, request.version)
        return _done(backends, promotion, request, targets)
    except (Busy, PromotionConflict):
        # The request stays open: the next look sees it again, beside whatever came first.
        raise
    except (Refused, NotFound, UsageError) as error:
        return _refuse(backends, request, error)


def _done(backends: Backends, promotion: PromotionSettings, request: Request, targets: Targets) -> Move:
    alias, version = request.alias, request.version
    said: dict[str, Any] = {"why": _why(request), "by": _by(request), "facts": _facts(request)}
    for trial_alias in _TRIALS:
        if alias == trial_alias and version is None:
            return trial.stop(backends, trial_alias, **said)
        if alias == trial_alias and version is not None:
            return trial.start(backends, version, trial_alias, **said)
    if alias == STAGING:
        if version is None:
            return promote.demote(backends, STAGING, expected=targets[STAGING], **said)
        return promote.promote(backends, version, STAGING, expected=targets[STAGING], **said)
    if version is None:
        return promote.demote(backends, PRODUCTION, expected=targets[PRODUCTION], **said)
    return _to_production(backends, promotion, version, targets, said)


def _to_production(
    backends: Backends,
    promotion: PromotionSettings,
    version: int,
    targets: Targets,
    said: dict[str, Any],
) -> Move:
    """Both steps at once; the gate comes first, so that a version it refuses does not reach staging either."""
    gate = None
    if promotion.outside_moves == "gate":
        report = decision.decide(backends, promotion, version)
        if not report.passed:
            raise decision.refusal(report)
        gate = report.summary()
    return both_steps(backends, version, targets, said, gate=gate, last=said["facts"])


def both_steps(
    backends: Backends,
    version: int,
    targets: Targets,
    said: Mapping[str, Any],
    *,
    gate: Mapping[str, Any] | None,
    last: Mapping[str, Any],
) -> Move:
    """Promote a version to staging, unless it is there, and on to production.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        version: Number of the version.
        targets: What each alias stood for when the version was judged.
        said: Who, why and facts, for the rows of the ledger.
        gate: What the gate said, for the ledger.
        last: Facts of the row that puts it into production.

    Raises:
        PromotionConflict: Another move came first.
        Refused: See `promote`.
    """
    if targets[STAGING] != version:
        promote.promote(backends, version, STAGING, expected=targets[STAGING], **said)
    said = {**said, "facts": last}
    return promote.promote(backends, version, PRODUCTION, expected=targets[PRODUCTION], gate=gate, **said)


def check_known(backends: Backends, version: int) -> None:
    """Refuse what was not trained here, or was refused before, before anything looks into its files.

    Raises:
        NotFound: There is no such version.
        ReleaseRefused: It was not trained here, or a check refused it.
    """
    registered = versions.get(backends.mlflow, version)
    artifacts.check_known(backends.database, backends.mlflow.registered_model, registered)


def _by(request: Request) -> str:
    return request.asked.by if request.asked else NOBODY


def _facts(request: Request) -> dict[str, Any]:
    return {actions.ASKED_BY: request.by} | ({actions.ASKED_AT: request.asked.at} if request.asked else {})


def _why(request: Request) -> str:
    if request.asked and request.asked.why:
        return request.asked.why
    if request.version is None:
        return f"the {request.by} was taken away in MLflow"
    return f"the {request.by} was moved in MLflow"


def _refuse(backends: Backends, request: Request, error: StreamFlowError) -> Move | None:
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        current = locked.targets()[request.alias]
        if current == request.version:
            return None
        _LOG.warning("request refused", alias=request.alias, version=request.version, why=error.what)
        facts = {
            **_facts(request),
            actions.REQUESTED: request.version,
            actions.REFUSED: [error.what, *error.details],
        }
        change = Change(
            request.alias, current, current, actions.EXTERNAL, _by(request), _why(request), facts=facts
        )
        return locked.move(change)

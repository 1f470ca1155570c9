"""Answer the promotions that were asked for over the API: through the gate, each by one row of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from streamflow import log
from streamflow.errors import Busy, DependencyDown, PromotionConflict, StreamFlowError
from streamflow.gate import decision
from streamflow.model_version.aliases import STAGING
from streamflow.postgres.engine import transaction
from streamflow.registrar import answers
from streamflow.registry import actions, moves, promote, requests, trail, transitions
from streamflow.registry.requests import PromotionRequest
from streamflow.registry.trail import Change, Move
from streamflow.settings import Backends, PromotionSettings

_LOG = log.get(__name__)


def answer_waiting(backends: Backends, promotion: PromotionSettings) -> list[Move]:
    """Answer every request that waits. It may end at any point: a request without a row in the ledger is still open.

    Returns:
        The rows that answer them.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer; the requests stay open.
    """
    with transaction(backends.database) as connection:
        waiting = requests.waiting(connection, backends.mlflow.registered_model)
    rows = []
    for request in waiting:
        try:
            row = answer(backends, promotion, request)
        except (Busy, PromotionConflict) as error:
            _LOG.info("another move came first", request=request.id, why=error.what)
            continue
        if row is not None:
            rows.append(row)
    return rows


def answer(backends: Backends, promotion: PromotionSettings, request: PromotionRequest) -> Move | None:
    """Do what a request asks for, or refuse it.

    Returns:
        The row that answers it; None if another process answered it meanwhile.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer; the request stays open.
        PromotionConflict: Another move came first; the request stays open.
        Busy: Another process held the promotion lock for too long; the request stays open.
    """
    try:
        return _judged(backends, promotion, request)
    except sa.exc.IntegrityError:
        # The database refuses a second answer. Anything else is a fault.
        with transaction(backends.database) as connection:
            if requests.find(connection, request.model, request.id).state == "open":
                raise
        return None


def _judged(backends: Backends, promotion: PromotionSettings, request: PromotionRequest) -> Move:
    try:
        return _done(backends, promotion, request)
    except (Busy, DependencyDown, PromotionConflict, sa.exc.SQLAlchemyError):
        raise
    except StreamFlowError as error:
        return _refuse(backends, request, [error.what, *error.details])
    except Exception:
        # It would fail again. Nothing was promoted: the row would have answered the request.
        _LOG.exception("request failed", request=request.id)
        return _refuse(backends, request, ["The registrar failed at it; its log has the cause."])


def _done(backends: Backends, promotion: PromotionSettings, request: PromotionRequest) -> Move:
    version = request.version
    answers.check_known(backends, version)
    said: dict[str, Any] = {"why": request.why, "by": request.asked_by}
    # Only the last step answers the request: killed between the two, it is still open, and one step is left.
    last = {actions.REQUEST: request.id}
    if request.alias == STAGING:
        return promote.promote(backends, version, STAGING, facts=last, **said)
    targets = trail.targets(backends.database, request.model)
    # Before the gate, which works for seconds.
    transitions.check_step({**targets, STAGING: version}, version, request.alias)
    report = decision.decide(backends, promotion, version)
    if not report.passed:
        refusal = decision.refusal(report)
        return _refuse(backends, request, [refusal.what, *refusal.details], report.summary())
    return answers.both_steps(backends, version, targets, said, gate=report.summary(), last=last)


def _refuse(
    backends: Backends,
    request: PromotionRequest,
    reasons: list[str],
    gate: Mapping[str, Any] | None = None,
) -> Move:
    _LOG.warning("request refused", request=request.id, version=request.version, why=reasons[0])
    facts = {
        actions.REQUEST: request.id,
        actions.REQUESTED: request.version,
        actions.REFUSED: reasons,
    }
    with moves.promotion_lock(backends.database, backends.mlflow) as locked:
        current = locked.targets()[request.alias]
        # Only recorded: somebody may ask for this alias in MLflow, which is not answered by this.
        return locked.record(
            Change(
                request.alias,
                current,
                current,
                actions.EXTERNAL,
                request.asked_by,
                request.why,
                facts=facts,
                gate=gate or {},
            )
        )

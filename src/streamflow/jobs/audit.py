"""Recipe of the job `audit`: record external changes of aliases, and verify the audit trail's hash chain."""

from __future__ import annotations

from streamflow import log
from streamflow.postgres.job_results import AuditResult
from streamflow.registry import actions, chain, moves, reconcile
from streamflow.settings import Settings


def audit(settings: Settings) -> AuditResult:
    """Reconcile the trail with MLflow, then verify it.

    A broken chain does not fail the job: the result says so, and raises the alert AuditTrailBroken.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    # Read the anchor first, because each row that `reconcile` appends moves it.
    anchor = moves.anchor(settings.mlflow)
    added = reconcile.reconcile(settings.backends, settings.promotion.outside_moves)
    problems = chain.problems(settings.database, anchor)
    if problems:
        log.get(__name__).error("the audit trail was tampered with", problems=problems)
    external = sum(move.action == actions.EXTERNAL for move in added)
    return AuditResult(chain_ok=not problems, problems=problems, outside=external)

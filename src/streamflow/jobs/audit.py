"""Recipe of the job `audit`: verify the hash chains of the two ledgers, of promotions and of drops."""

from __future__ import annotations

from streamflow import log
from streamflow.drops import chain as drops
from streamflow.postgres.job_results import AuditResult
from streamflow.registry import chain, moves
from streamflow.settings import Settings


def audit(settings: Settings) -> AuditResult:
    """Verify the chain of promotions against the newest row that MLflow names, and that of drops.

    A broken chain does not fail the job: the result says so, and raises the alert AuditTrailBroken.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    links = chain.links(settings.database)
    problems = chain.broken(links, moves.anchor(settings.mlflow))
    problems += drops.problems(settings.database)
    if problems:
        log.get(__name__).error("the audit trail was tampered with", problems=problems)
    return AuditResult(chain_ok=not problems, problems=problems, losses=chain.losses(links))

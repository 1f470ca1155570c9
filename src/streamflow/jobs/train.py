"""Recipe of the job `train`: train if there is a new drop; promote if the gate and the policy allow it."""

from __future__ import annotations

from streamflow import challenger, log
from streamflow.drops import ledger
from streamflow.errors import NotYet
from streamflow.gate import decision, policy
from streamflow.gate.judged import judged
from streamflow.model_version.aliases import PRODUCTION, STAGING
from streamflow.postgres import clock, job_results
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import TrainResult
from streamflow.registry import automation
from streamflow.registry.promote import promote
from streamflow.settings import Settings

_BY = "job train"


def train(settings: Settings) -> TrainResult:
    """Train on the newest drop unless it was trained on already; promote the version to staging and judge it.

    With the policy `automatic`, a version that passes the gate is promoted to production. With `manual`, it
    stays at staging until a person promotes it.

    Raises:
        NotYet: No drop has been ingested.
    """
    backends = settings.backends
    with transaction(settings.database) as connection:
        drops = tuple(drop.drop_id for drop in ledger.entries(connection, clock.known_now(connection)))
        last = job_results.newest(connection, TrainResult)
    if not drops:
        raise NotYet("There is no drop to train on.", hint="Put one into the inbox and run the job 'ingest'.")
    if last is not None and set(drops) <= set(last.drops):
        why = "no drop is new since the last training"
        return TrainResult(None, promoted=False, why=why, drops=drops, judged=last.judged)
    trained = challenger.train(settings)
    version = trained.version
    promote(backends, version, STAGING, why=f"trained as of {trained.as_of:%Y-%m-%d}", by=_BY)
    report = decision.decide(backends, settings.promotion, version)
    promoted, why = policy.takes_over(
        report,
        settings.promotion.policy,
        automation.paused(settings.database, settings.mlflow.registered_model),
    )
    if promoted:
        # The promotion fails if the gate's champion is no longer the version in production.
        expected, gate = report.champion, report.summary()
        promote(backends, version, PRODUCTION, why=why, by=_BY, expected=expected, gate=gate)
    else:
        log.get(__name__).warning("a version waits at staging", version=version, why=why)
    return TrainResult(version, promoted, why, drops, trained.metrics["auc"], report.verdict, judged(report))

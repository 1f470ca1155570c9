"""Recipe of the job `train`: train if a new drop or shown harm calls for it; promote if gate and policy allow it."""

from __future__ import annotations

from streamflow import challenger, log
from streamflow.drops import ledger
from streamflow.errors import NotYet
from streamflow.gate import decision, policy
from streamflow.gate.judged import judged
from streamflow.jobs.training_sets import builder
from streamflow.model_version.aliases import PRODUCTION, STAGING
from streamflow.monitoring.harm import retrain, unanswered
from streamflow.postgres import clock, job_results
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import TrainResult
from streamflow.registry import automation
from streamflow.registry.promote import promote
from streamflow.settings import Settings

_BY = "job train"


def train(settings: Settings) -> TrainResult:
    """Train on the newest drop if `settings.retrain` calls for it; promote the version to staging and judge it.

    With the policy `automatic`, a version that passes the gate is promoted to production. With `manual`, it
    stays at staging until a person promotes it.

    Raises:
        NotYet: No drop has been ingested.
    """
    backends, model = settings.backends, settings.mlflow.registered_model
    with transaction(settings.database) as connection:
        drops = tuple(drop.drop_id for drop in ledger.entries(connection, clock.known_now(connection)))
        last = job_results.newest(connection, TrainResult) or TrainResult(None, False, "", ())
        production = unanswered.production(connection, model)
    if not drops:
        raise NotYet("There is no drop to train on.", hint="Put one into the inbox and run the job 'ingest'.")
    start = retrain.decide(settings.retrain, production, new_drop=not set(drops) <= set(last.drops))
    if not start.trains:
        return TrainResult(None, promoted=False, why=start.why, drops=last.drops, judged=last.judged)
    trained = challenger.train(settings, build=builder(settings))
    version, why = trained.version, start.because(f"trained as of {trained.as_of:%Y-%m-%d}")
    promote(backends, version, STAGING, why=why, by=_BY, facts=start.facts)
    report = decision.decide(backends, settings.promotion, version)
    promoted, why = policy.takes_over(
        report, settings.promotion.policy, automation.paused(settings.database, model)
    )
    if promoted:
        # The promotion fails if the gate's champion is no longer the version in production.
        expected, gate = report.champion, report.summary()
        promote(backends, version, PRODUCTION, why=why, by=_BY, expected=expected, gate=gate)
    else:
        log.get(__name__).warning("a version waits at staging", version=version, why=why)
    said = start.because(why)
    return TrainResult(version, promoted, said, drops, trained.metrics["auc"], report.verdict, judged(report))

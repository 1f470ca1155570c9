"""Recipe of the job `train`: train when a drop is new, ask the gate, and promote when the policy says so."""

from __future__ import annotations

from streamflow import challenger, log
from streamflow.drops import ledger
from streamflow.errors import NotYet
from streamflow.gate import decision, policy
from streamflow.model_version.aliases import PRODUCTION, STAGING
from streamflow.postgres import clock, job_results
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import TrainResult
from streamflow.registry import reconcile
from streamflow.registry.promote import promote
from streamflow.settings import Settings

_BY = "job train"


def train(settings: Settings) -> TrainResult:
    """Train on the newest drop unless it was trained on already; put it at staging, and through the gate.

    With the policy `automatic` what passes goes to production; with `manual` it waits at staging for a person.

    Raises:
        NotYet: There is no drop at all.
    """
    with transaction(settings) as connection:
        drops = tuple(drop.drop_id for drop in ledger.entries(connection, clock.known_now(connection)))
        last = job_results.newest(connection, TrainResult)
    if not drops:
        raise NotYet("There is no drop to train on.", hint="Put one into the inbox and run the job 'ingest'.")
    # The job runs every day, so an external change is noticed even when nobody promotes.
    reconcile.reconcile(settings)
    if last is not None and set(drops) <= set(last.drops):
        return TrainResult(None, promoted=False, why="no drop is new since the last training", drops=drops)
    trained = challenger.train(settings)
    version = trained.version
    promote(settings, version, STAGING, why=f"trained as of {trained.as_of:%Y-%m-%d}", by=_BY)
    report = decision.decide(settings, version)
    promoted, why = policy.takes_over(report, settings.promotion.policy)
    if promoted:
        expected, gate = report.champion, report.summary()
        promote(settings, version, PRODUCTION, why=why, by=_BY, expected=expected, gate=gate)
    else:
        log.get(__name__).warning("a version waits at staging", version=version, why=why)
    return TrainResult(version, promoted, why, drops, trained.metrics["auc"], report.verdict)

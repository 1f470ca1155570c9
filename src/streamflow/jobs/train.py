"""Recipe of the scheduled training: only when a drop is new; gated, and promoted when the policy says so."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from streamflow import log
from streamflow.challenger import train
from streamflow.errors import NotYet
from streamflow.gate import decision
from streamflow.gate.report import GateReport
from streamflow.model_version.aliases import PRODUCTION, STAGING
from streamflow.postgres.engine import transaction
from streamflow.registry import reconcile
from streamflow.registry.promote import promote
from streamflow.settings import Settings
from streamflow.snapshots import ledger

_BY = "job train"


@dataclass(frozen=True)
class Retrained:
    """What a scheduled training did.

    Attributes:
        version: The new model version; None when there was nothing new to learn from.
        promoted: Whether it is served now.
        why: The reason for either.
        drops: Ids of the drops that were known; the next run compares its own with them.
        auc: Its AUC on its holdout.
        gate: `passed` or `failed`; "" when nothing was trained.
    """

    version: int | None
    promoted: bool
    why: str
    drops: tuple[str, ...]
    auc: float | None = None
    gate: str = ""


def retrain(settings: Settings) -> Retrained:
    """Train on the newest drop unless it was trained on already; put it at staging, and through the gate.

    With the policy `automatic` what passes goes to production; with `manual` it waits at staging for a person.

    Raises:
        NotYet: there is no drop at all.
    """
    with transaction(settings) as connection:
        known = tuple(drop.drop_id for drop in ledger.drops(connection, ledger.known_now(connection)))
        seen = _seen(connection)
    if not known:
        raise NotYet("There is no drop to train on.", hint="Put one into the inbox and run the job 'ingest'.")
    # The job runs every day, so an external change is noticed even when nobody promotes.
    reconcile.reconcile(settings)
    if set(known) <= seen:
        return Retrained(None, False, "no drop is new since the last training", known)
    trained = train(settings)
    promote(settings, trained.version, STAGING, why=f"trained as of {trained.as_of:%Y-%m-%d}", by=_BY)
    report = decision.decide(settings, trained.version)
    promoted, why = decide(report, settings.promotion.policy)
    if promoted:
        promote(
            settings,
            trained.version,
            PRODUCTION,
            why=why,
            by=_BY,
            expected=report.champion,
            gate=report.summary(),
        )
    else:
        log.get(__name__).warning("a version waits at staging", version=trained.version, why=why)
    return Retrained(trained.version, promoted, why, known, trained.metrics["auc"], report.verdict)


def decide(report: GateReport, policy: str) -> tuple[bool, str]:
    """Whether the challenger takes over now, and why. Pure."""
    if not report.passed:
        return False, f"the gate refused it: {'; '.join(report.failures)}"
    against = f"against version {report.champion}" if report.champion is not None else "as the first version"
    if policy == "automatic":
        return True, f"passed the gate {against}"
    return False, (
        f"passed the gate {against} and waits for a person: streamflow models promote {report.version} --why …"
    )


def _seen(connection: sa.Connection) -> set[str]:
    facts = connection.execute(
        sa.text(
            "SELECT facts FROM streamflow.job_runs WHERE job = 'train' AND outcome = 'done'"
            " ORDER BY run_id DESC LIMIT 1"
        )
    ).scalar()
    return set((facts or {}).get("drops", []))

"""Recipe of the scheduled training: only when a drop is new, and promoted when it is better."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from streamflow.database import transaction
from streamflow.errors import NotFound
from streamflow.jobs.train import Trained, train
from streamflow.registry import promote, versions
from streamflow.settings import Settings
from streamflow.snapshots import ledger


@dataclass(frozen=True)
class Retrained:
    """What a scheduled training did.

    Attributes:
        version: The new model version; None when there was nothing new to learn from.
        promoted: Whether it is served now.
        why: The reason for either.
        drops: Ids of the drops that were known; the next run compares its own with them.
        auc: Its AUC on its holdout.
    """

    version: int | None
    promoted: bool
    why: str
    drops: tuple[str, ...]
    auc: float | None = None


def retrain(settings: Settings) -> Retrained:
    """Train on the newest drop unless it was trained on already; promote when nobody serves, or it is better.

    Raises:
        NotFound: there is no drop at all.
    """
    with transaction(settings) as connection:
        known = tuple(drop.drop_id for drop in ledger.drops(connection, ledger.known_now(connection)))
        seen = _seen(connection)
    if not known:
        raise NotFound(
            "There is no drop to train on.", hint="Put one into the inbox and run the job 'ingest'."
        )
    if set(known) <= seen:
        return Retrained(None, False, "no drop is new since the last training", known)
    trained = train(settings)
    champion = versions.by_alias(settings, "production")
    better, why = _judge(settings, trained, champion)
    if better:
        promote.promote(settings, trained.version, "staging", why=why, by="job train")
        promote.promote(settings, trained.version, "production", why=why, by="job train", expected=champion)
    return Retrained(trained.version, better, why, known, trained.metrics["auc"])


def decide(champion_auc: float | None, challenger_auc: float) -> tuple[bool, str]:
    """Whether the challenger takes over, and why. Pure."""
    if champion_auc is None:
        return True, f"first version to be served, AUC {challenger_auc:.4f}"
    verdict = f"AUC {challenger_auc:.4f} against {champion_auc:.4f} of the champion, each on its own holdout"
    return (challenger_auc > champion_auc, verdict)


def _judge(settings: Settings, trained: Trained, champion: int | None) -> tuple[bool, str]:
    if champion is None:
        return decide(None, trained.metrics["auc"])
    run = versions.run_of(settings, versions.get(settings, champion))
    return decide(float(run["metrics"]["auc"]), trained.metrics["auc"])


def _seen(connection: sa.Connection) -> set[str]:
    facts = connection.execute(
        sa.text(
            "SELECT facts FROM streamflow.job_runs WHERE job = 'train' AND outcome = 'done'"
            " ORDER BY run_id DESC LIMIT 1"
        )
    ).scalar()
    return set((facts or {}).get("drops", []))

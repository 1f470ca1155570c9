"""Recipe: record external changes of the aliases, and verify the chain of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import log
from streamflow.registry import actions, chain, moves, reconcile
from streamflow.settings import Settings


@dataclass(frozen=True)
class Audited:
    """What was found.

    Attributes:
        chain_ok: Whether every row is what it was, and none is missing.
        problems: What is wrong with the chain, a sentence each.
        outside: External changes recorded now.
    """

    chain_ok: bool
    problems: tuple[str, ...]
    outside: int


def audit(settings: Settings) -> Audited:
    """Reconcile the trail with MLflow, then verify it. A broken chain is a result, reported by its alert.


    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    # Read first, because every row that is written moves the anchor.
    anchor = moves.anchor(settings)
    added = reconcile.reconcile(settings)
    problems = chain.problems(settings.database, anchor)
    if problems:
        log.get(__name__).error("the audit trail was tampered with", problems=problems)
    return Audited(not problems, problems, sum(move.action == actions.EXTERNAL for move in added))

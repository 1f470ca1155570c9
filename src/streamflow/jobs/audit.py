"""Recipe: take note of what was moved in MLflow past StreamFlow, and verify the chain of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import log
from streamflow.registry import history, settle
from streamflow.settings import Settings


@dataclass(frozen=True)
class Audited:
    """What was found.

    Attributes:
        chain_ok: Whether every row is what it was, and none is missing.
        problems: What is wrong with the chain, a sentence each.
        outside: Moves made past StreamFlow that were found now.
    """

    chain_ok: bool
    problems: tuple[str, ...]
    outside: int


def audit(settings: Settings) -> Audited:
    """Bring history and registry together, then verify. A broken chain is a result, which its alert tells.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    # Read before anything is written, for what is written names a newest row of its own.
    anchor = settle.anchor(settings)
    added = settle.settle(settings)
    problems = history.problems(settings, anchor)
    if problems:
        log.get(__name__).error("the audit trail was tampered with", problems=problems)
    return Audited(not problems, problems, sum(move.action == "outside" for move in added))

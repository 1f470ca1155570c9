"""Record that rows of the ledger were lost at the end, and why; from then on its chain is verified against this row."""

from __future__ import annotations

from streamflow.errors import Refused
from streamflow.model_version.aliases import PRODUCTION
from streamflow.registry import actions, chain, moves
from streamflow.registry.trail import Change, Move
from streamflow.settings import DatabaseSettings, MlflowSettings


def acknowledge(database: DatabaseSettings, mlflow: MlflowSettings, *, why: str, by: str) -> Move:
    """Record that rows were lost at the end, and why.

    Raises:
        Refused: No reason was given, or nothing is lost.
        StreamFlowError: Rows before the end were changed, which cannot be acknowledged.
        DependencyDown: MLflow, which names the lost row, does not answer.
    """
    if not why.strip():
        raise Refused("An acknowledgement needs a reason.", hint="Say why: --acknowledge WHY")
    chain.verify(database)
    with moves.promotion_lock(database, mlflow) as locked:
        lost = locked.read_anchor()
        problems = chain.broken(chain.read(locked.connection), lost)
        if not problems:
            raise Refused("The chain holds, so there is nothing to acknowledge.", hint="Nothing was changed.")
        current = locked.targets()[PRODUCTION]
        facts = {"problems": list(problems), actions.ANCHOR: lost}
        row = locked.record(
            Change(PRODUCTION, current, current, actions.ACKNOWLEDGE, by, why.strip(), facts=facts)
        )
        locked.anchor(row, acknowledged=True)
        return row

"""Record that rows of the ledger were lost at the end, and why; from then on its chain is verified against this row."""

from __future__ import annotations

from streamflow.errors import Refused
from streamflow.model_version.aliases import PRODUCTION
from streamflow.registry import actions, chain, heads, moves
from streamflow.registry.heads import Head
from streamflow.registry.trail import Change, Move
from streamflow.settings import DatabaseSettings, MlflowSettings


def acknowledge(
    database: DatabaseSettings, mlflow: MlflowSettings, *, why: str, by: str, head: Head | None = None
) -> Move:
    """Record that rows were lost at the end, and why.

    Args:
        database: Where the ledger is.
        mlflow: MLflow's server, which names the newest row.
        why: The reason.
        by: Who gives it.
        head: Signed head that was kept outside the databases. After both were recovered as they were at one moment, it
            alone says that rows are missing.

    Raises:
        Refused: No reason was given, or nothing is lost.
        StreamFlowError: Rows before the end were changed, which cannot be acknowledged.
        DependencyDown: MLflow, which names the lost row, does not answer.
    """
    if not why.strip():
        raise Refused("An acknowledgement needs a reason.", hint="Say why: --acknowledge WHY")
    chain.verify(database)
    with moves.promotion_lock(database, mlflow) as locked:
        links, lost = chain.read(locked.connection), locked.read_anchor()
        problems = chain.broken(links, lost)
        if head is not None and not heads.contains(links, head):
            problems += (f"The ledger no longer has row {head.promotion_id}, signed at {head.signed_at}.",)
            lost = max(lost, f"{head.promotion_id}:{head.hash}", key=_number)
        if not problems:
            raise Refused("The chain holds, so there is nothing to acknowledge.", hint="Nothing was changed.")
        current = locked.targets()[PRODUCTION]
        facts = {"problems": list(problems), actions.ANCHOR: lost}
        row = locked.record(
            Change(PRODUCTION, current, current, actions.ACKNOWLEDGE, by, why.strip(), facts=facts)
        )
        locked.anchor(row, acknowledged=True)
        return row


def _number(anchor: str) -> int:
    number = anchor.partition(":")[0]
    return int(number) if number.isdigit() else 0

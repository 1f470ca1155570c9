"""What MLflow shows as the description of a version: where it went, when, by whom and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.model_version import asked
from streamflow.registry import actions
from streamflow.registry.trail import Move

_MOST_CHARACTERS = 2000
"""MLflow's column has 5,000."""


def descriptions(moves: Sequence[Move]) -> dict[int, str]:
    """The description of each version that rows of the ledger are about; the newest row counts.

    Args:
        moves: Rows of the ledger, oldest first.
    """
    found = {}
    for move in moves:
        when = f"{move.moved_at:%Y-%m-%d %H:%M} UTC by {move.moved_by}: {move.why.rstrip('.')}"
        requested = move.facts.get(actions.REQUESTED)
        if requested is not None:
            reasons = "; ".join(move.facts.get(actions.REFUSED, ()))
            found[int(requested)] = _with_row(f"Refused for {move.alias} at {when}. {reasons}", move)
        elif move.from_version != move.to_version:
            if move.from_version is not None:
                found[move.from_version] = _with_row(f"Left {move.alias} at {when}", move)
            if move.to_version is not None:
                verdict = f" The gate: {move.gate['verdict']}." if "verdict" in move.gate else ""
                found[move.to_version] = _with_row(f"At {move.alias} since {when}.{verdict}", move)
    return found


def _with_row(text: str, move: Move) -> str:
    row = asked.row_note(move.promotion_id)
    return f"{text[: _MOST_CHARACTERS - len(row) - 1]} {row}"

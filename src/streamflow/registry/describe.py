"""What MLflow shows as the description of a version: where it went, when, by whom and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from streamflow.mlflow_api.transport import FOR_TRAINING
from streamflow.model_version import asked
from streamflow.registry import actions
from streamflow.registry.trail import Move

_MARKDOWN = re.compile(r"[\\`*_\[\]<>]")

_MOST_CHARACTERS = 2000
"""MLflow's column has 5,000."""


def descriptions(moves: Sequence[Move]) -> dict[int, str]:
    """The description of each version that rows of the ledger are about; the newest row counts.

    Args:
        moves: Rows of the ledger, oldest first.
    """
    found = {}
    for move in moves:
        by, why = _plain(move.moved_by), _plain(move.why.rstrip("."))
        when = f"{move.moved_at:%Y-%m-%d %H:%M} UTC by {by}: {why}"
        requested = move.facts.get(actions.REQUESTED)
        if requested is not None:
            reasons = _plain("; ".join(move.facts.get(actions.REFUSED, ())))
            found[int(requested)] = _with_row(f"Refused for {move.alias} at {when}. {reasons}", move)
        elif move.from_version != move.to_version:
            if move.from_version is not None:
                found[move.from_version] = _with_row(f"Left {move.alias} at {when}", move)
            if move.to_version is not None:
                verdict = f" The gate: {move.gate['verdict']}." if "verdict" in move.gate else ""
                found[move.to_version] = _with_row(f"At {move.alias} since {when}.{verdict}", move)
    return found


def reports(moves: Sequence[Move]) -> dict[int, str]:
    """The page of the gate's report that let each version in, as a path among its run's artifacts; the newest counts.

    Args:
        moves: Rows of the ledger, oldest first.
    """
    return {
        move.to_version: str(move.gate["report"]).removesuffix(".json") + ".html"
        for move in moves
        if move.to_version is not None and move.gate.get("report")
    }


def links(experiment: str, run_id: str, report: str) -> str:
    """Where MLflow's pages show the gate's report and the run of a version, in Markdown.

    Args:
        experiment: Id of the run's experiment.
        run_id: Run that made the version.
        report: Path of the report's page among the run's artifacts; "" if there is none.
    """
    run = f"#/experiments/{quote(experiment)}/runs/{quote(run_id)}"
    parts = [f"[Report of the gate]({run}/artifacts/{quote(report)}{FOR_TRAINING})"] if report else []
    return "\n\n" + " · ".join([*parts, f"[Run]({run}{FOR_TRAINING})"])


def _plain(text: str) -> str:
    """A person's text, which MLflow shows as Markdown, without links, images or HTML of its own."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def _with_row(text: str, move: Move) -> str:
    row = asked.row_note(move.promotion_id)
    return f"{text[: _MOST_CHARACTERS - len(row) - 1]} {row}"

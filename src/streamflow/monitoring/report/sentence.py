"""The verdict of a month in one sentence: what was compared, the outcome, since when, what to do. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from streamflow.monitoring.report.rounding import count, day
from streamflow.monitoring.report.verdicts import (
    DRIFTED,
    HARMFUL,
    NO_DATA,
    REALIZED,
    STABLE,
    TOO_FEW_ROWS,
    Drift,
    Harm,
    Verdicts,
)

_NAMED = 5
"""Features that the sentence names at most."""


def sentence(verdicts: Verdicts, counted: Callable[[int], str]) -> str:
    """The sentence.

    Args:
        verdicts: Verdicts of the month.
        counted: Writes a number of entities: "7,043 customers".
    """
    drift, version = verdicts.drift, f"version {verdicts.version} of {verdicts.model}"
    if drift is None:
        beginning = f"Whether the inputs of {version} drifted has not been judged as of {day(verdicts.as_of)}"
        return f"{beginning}; {_harm(verdicts)}: {_advice(verdicts)}."
    if drift.verdict == NO_DATA:
        beginning = f"Whether the inputs of {version} drifted cannot be said as of {day(drift.as_of)} ({_reason(drift)})"
        return f"{beginning}; {_harm(verdicts)}: {_advice(verdicts)}."
    compared = (
        f"The {counted(drift.rows)} as of {day(drift.as_of)} were compared with the {count(drift.reference_rows)} that"
        f" {version} was trained on, as of {day(drift.reference_as_of)}"
    )
    return f"{compared}: {_drift(verdicts, drift)}; {_harm(verdicts)}: {_advice(verdicts)}."


def since(months: Sequence[tuple[datetime, str]]) -> datetime:
    """First of the last months that have the same verdict without a break.

    Args:
        months: Months in order, each with its verdict; at least one.
    """
    _, verdict = months[-1]
    first = months[-1][0]
    for as_of, other in reversed(months):
        if other != verdict:
            break
        first = as_of
    return first


def harm_shown(verdicts: Verdicts) -> Harm | None:
    """The first month that showed harm; a version that was shown to harm stays so."""
    return next((item for item in verdicts.harms if item.verdict == HARMFUL), None)


def _drift(verdicts: Verdicts, drift: Drift) -> str:
    if drift.verdict == TOO_FEW_ROWS:
        return "these are too few rows for a verdict on drift" + (f" ({_reason(drift)})" if drift.why else "")
    first = since([(item.as_of, item.verdict) for item in verdicts.by_month])
    compared = len(verdicts.features)
    if drift.verdict == STABLE:
        began = f"as in every month since {day(first)}" if first != drift.as_of else f"since {day(first)}"
        return f"none of {compared} distributions drifted, {began}"
    names = [item.name for item in verdicts.features if item.outcome == DRIFTED]
    named = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"{len(names)} of {compared} distributions drifted ({named}), with drift since {day(first)}"


def _reason(drift: Drift) -> str:
    return drift.why.strip().rstrip(".") or "no reason is recorded"


def _harm(verdicts: Verdicts) -> str:
    shown = harm_shown(verdicts)
    if shown is not None:
        by = "by its labels" if shown.basis == REALIZED else "by the estimate from its scores"
        return f"its predictions have been worse than is tolerated since {day(shown.as_of)}, {by}"
    judged = [item for item in verdicts.harms if item.as_of == verdicts.as_of]
    if not judged:
        return "harm to its predictions has not been judged"
    if all(item.verdict in (NO_DATA, TOO_FEW_ROWS) for item in judged):
        return "there are not enough data for a verdict on harm to its predictions"
    return "no harm to its predictions is shown"


def _advice(verdicts: Verdicts) -> str:
    drift = verdicts.drift
    if harm_shown(verdicts) is not None:
        return "train a new version (streamflow train), or roll back to an earlier one (streamflow rollback)"
    if drift is None:
        return "judge it (streamflow monitor drift), unless it is the month that the version was trained on"
    if drift.verdict == NO_DATA:
        return "nothing was guessed, so see to the missing data and judge the month again"
    if drift.verdict == TOO_FEW_ROWS:
        return "wait for a month with more rows, or load those that are missing"
    if drift.verdict == DRIFTED:
        return "keep the version, and find out whether the world or the data changed (see the features below)"
    return "there is nothing to do"

"""What a report says about one feature, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.monitoring.report.rounding import UNBROKEN, day, figure, percent, probability
from streamflow.monitoring.report.verdicts import CATEGORY, DRIFTED, NO_DATA, TOO_FEW_ROWS, Feature


def amount(feature: Feature, value: float | None) -> str:
    """A difference in the feature's own unit: standard deviations of the training set, or points of a share."""
    if value is None:
        return figure(value)
    written = (figure(value * 100, 2), "points") if feature.kind == CATEGORY else (figure(value, 2), "sd")
    return UNBROKEN.join(written)


def about(feature: Feature) -> list[str]:
    """Sentences about the feature: the outcome, what the month could have shown, and what is absent."""
    said = [_outcome(feature)]
    if feature.smallest_detectable is not None:
        least = amount(feature, feature.smallest_detectable)
        said.append(f"A difference of {least} would have been found in 95 of 100 such months.")
    if why := str(feature.detail.get("why") or "").strip():
        why = why[0].upper() + why[1:]
        said.append(why if why.endswith((".", "!", "?")) else f"{why}.")
    if absent := _absence(feature):
        said.append(absent)
    return said


def _outcome(feature: Feature) -> str:
    if feature.outcome == NO_DATA:
        return "There is nothing to compare."
    if feature.p_value is None:
        return "There is no test of the values."
    chance = f"({_p(feature.p_value)}, {{}} its limit {probability(feature.alpha)})"
    difference = "" if feature.effect is None else amount(feature, feature.effect)
    if feature.outcome == DRIFTED:
        return _drifted(feature, difference, chance.format("below"))
    if feature.outcome == TOO_FEW_ROWS:
        return f"The values differ by {difference}; the month has too few of them to show a difference that matters."
    if feature.p_value < feature.alpha:
        return f"The difference of {difference} is not chance {chance.format('below')}, but too small to count as drift."
    return f"The difference of {difference} may be chance {chance.format('not below')}."


def _drifted(feature: Feature, difference: str, below: str) -> str:
    began = f" since {day(feature.since)}" if feature.since is not None else ""
    if _absence_of(feature).get("outcome") != DRIFTED:
        return f"Drifted by {difference}{began} {below}."
    values = f" The values differ by {difference}." if difference else ""
    return f"Drifted{began} {below}: the share without a value.{values}"


def _absence_of(feature: Feature) -> Mapping[str, Any]:
    """The recorded test of absence; empty without one."""
    found = feature.detail.get("absence")
    return found if isinstance(found, Mapping) else {}


def _absence(feature: Feature) -> str:
    """How many rows have no value, on both sides; empty if that is not recorded."""
    found = _absence_of(feature)
    before, now, p_value, alpha = (
        _number(found.get(name)) for name in ("reference", "current", "p_value", "alpha")
    )
    if before is None or now is None:
        return ""
    shares = f"Without a value: {percent(before)} of the training set, {percent(now)} of the month"
    if p_value is None:
        return f"{shares}."
    limit = probability(feature.alpha if alpha is None else alpha)
    outcome = ", which is drift" if found.get("outcome") == DRIFTED else ""
    return f"{shares}{outcome} ({_p(p_value)}, limit {limit})."


def _p(value: float) -> str:
    return UNBROKEN.join(("p", "=", probability(value)))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

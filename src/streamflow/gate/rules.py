"""The rules of the gate: each says in plain words why a version may be promoted or not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from streamflow.gate.facts import Compared, Facts
from streamflow.model_version import online_columns
from streamflow.model_version.contract import Contract
from streamflow.repo.parts import LEAST_OF_A_CLASS
from streamflow.settings import PromotionSettings


@dataclass(frozen=True)
class Rule:
    """One rule's outcome.

    Attributes:
        name: Name of the rule.
        passed: Whether the version passes it.
        reason: Why, in plain words.
    """

    name: str
    passed: bool
    reason: str


def judge(facts: Facts, limits: PromotionSettings) -> tuple[Rule, ...]:
    """Apply every rule that the facts allow, in reading order."""
    return tuple(_rules(facts, limits))


def _rules(facts: Facts, limits: PromotionSettings) -> Iterator[Rule]:
    yield Rule(
        "files and golden rows",
        not facts.refused,
        facts.refused or "every file has its digest, and the golden rows reproduce in the serving runtime",
    )
    if facts.contract is not None:
        yield online_schema(facts.contract, facts.online)
    if facts.holdout_auc is not None:
        yield better_than_chance(facts.holdout_auc)
    if facts.holdout_calibration is not None:
        yield calibrated(facts.holdout_calibration, limits)
    if facts.champion is not None:
        if facts.as_of is not None and facts.champion_as_of is not None:
            yield not_older(facts.as_of, facts.champion_as_of)
        yield improvement(facts, limits)
        if facts.compared is not None:
            yield calibration(facts.compared, limits)
    # A version that cannot be loaded has no scores.
    if facts.contract is not None:
        yield slices(facts, limits)
    if facts.latency_p99_ms is not None:
        budget = limits.latency_budget_ms
        yield Rule(
            "latency",
            facts.latency_p99_ms <= budget,
            f"99 % of the model's single answers took at most {facts.latency_p99_ms:.2f} ms of CPU; the budget is"
            f" {budget:g} ms",
        )


def online_schema(contract: Contract, online: Mapping[str, Mapping[str, str]]) -> Rule:
    """Whether the online store has every feature of the contract, with a type that it can be read from."""
    missing = online_columns.problems(contract, online)
    if missing:
        return Rule("online schema", False, f"{'; '.join(missing)}. {online_columns.FILL_ONLINE_STORE}")
    return Rule("online schema", True, f"the online store has all {len(contract.features)} features")


def better_than_chance(holdout_auc: tuple[float, float, float]) -> Rule:
    """Whether the model ranks better than a coin."""
    estimate, low, high = holdout_auc
    return Rule(
        "better than chance",
        low > 0.5,
        f"AUC {estimate:.4f} on its holdout (95 % interval {low:.4f} to {high:.4f}); chance is 0.5",
    )


def calibrated(holdout: tuple[float, float, float], limits: PromotionSettings) -> Rule:
    """Whether the probabilities mean what they say, as far as the holdout can tell."""
    estimate, low, high = holdout
    limit = limits.max_calibration_error
    return Rule(
        "absolute calibration",
        low <= limit,
        f"calibration error {estimate:.4f} on its holdout (95 % interval {low:.4f} to {high:.4f}); the interval must"
        f" reach down to {limit:g}",
    )


def not_older(as_of: datetime, champion_as_of: datetime) -> Rule:
    """Whether the challenger's data is at least as recent as the champion's; going back is what rollback is for."""
    dates = f"trained as of {as_of:%Y-%m-%d}, the champion as of {champion_as_of:%Y-%m-%d}"
    if as_of < champion_as_of:
        return Rule(
            "not older",
            False,
            f"{dates}: an older model would replace a newer one. Train a newer one; to go back to a version that"
            " was in production, use 'streamflow rollback'",
        )
    return Rule("not older", True, dates)


def improvement(facts: Facts, limits: PromotionSettings) -> Rule:
    """Whether the challenger is better by enough, or not worse and trained on a newer drop when that is enough."""
    both = facts.compared
    if both is None:
        return Rule(
            "improvement", False, f"it cannot be compared with version {facts.champion}: {facts.not_compared}"
        )
    measured = (
        f"AUC {both.challenger.auc:.4f} against {both.champion.auc:.4f} of version {facts.champion} on the same"
        f" {both.rows} rows: {both.difference:+.4f} (95 % interval {both.low:+.4f} to {both.high:+.4f})"
    )
    margin = limits.min_improvement
    if min(both.positives, both.rows - both.positives) < LEAST_OF_A_CLASS:
        return Rule("improvement", False, f"{measured}; too few rows of one class to judge")
    if both.difference >= margin and both.low > 0:
        return Rule("improvement", True, f"{measured}; at least {margin:+g} was asked for")
    if limits.improvement == "not_worse":
        return not_worse(facts, both, limits, measured)
    why = f"at least {margin:+g} was asked for" if both.difference < margin else "the gain may be chance"
    return Rule("improvement", False, f"{measured}; {why}")


def not_worse(facts: Facts, both: Compared, limits: PromotionSettings, measured: str) -> Rule:
    """Whether a challenger that is not better by enough is not worse, and was trained on a newer drop.

    Args:
        facts: The facts about the challenger.
        both: The comparison on the same rows.
        limits: The margin, and the gain that would be enough by itself.
        measured: The comparison in words.
    """
    margin, gain = limits.not_worse_margin, limits.min_improvement
    # Not the other way round: a comparison with a figure that is no number is False.
    if not both.low > -margin:
        why = f"it may be worse by more than {margin:g}: the interval must lie above {-margin:+g}"
        return Rule("improvement", False, f"{measured}; {why}")
    if facts.newer_data:
        drops = f"trained on {len(facts.new_drops)} drop(s) that the champion has not seen"
        return Rule("improvement", True, f"{measured}; not worse by more than {margin:g}, and {drops}")
    seen = (
        "its training set equals the champion's" if facts.same_data else "the champion has seen all its drops"
    )
    return Rule(
        "improvement",
        False,
        f"{measured}; not worse, but not trained on newer data ({seen}), so at least {gain:+g} was asked for",
    )


def calibration(both: Compared, limits: PromotionSettings) -> Rule:
    """Whether the probabilities are calibrated as well as the champion's, within the tolerance."""
    challenger, champion = both.challenger.calibration_error, both.champion.calibration_error
    return Rule(
        "calibration",
        challenger <= champion + limits.calibration_tolerance,
        f"calibration error {challenger:.4f} against {champion:.4f} of the champion;"
        f" {limits.calibration_tolerance:g} more is allowed",
    )


def slices(facts: Facts, limits: PromotionSettings) -> Rule:
    """Whether every slice is above the floor, and none is much worse than with the champion."""
    problems, judged, small = [], 0, []
    for part in facts.slices:
        named = f"{part.slice} '{part.value}'"
        if part.challenger_auc is None:
            small.append(named)
            continue
        judged += 1
        if part.challenger_auc < limits.slice_floor:
            problems.append(
                f"{named}: AUC {part.challenger_auc:.4f} on {part.rows} rows, the floor is {limits.slice_floor:g}"
            )
        elif (
            part.champion_auc is not None
            and part.common_auc is not None
            and part.common_auc < part.champion_auc - limits.slice_tolerance
        ):
            problems.append(
                f"{named}: AUC {part.common_auc:.4f} against {part.champion_auc:.4f} of the champion on"
                f" {part.common_rows} rows; {limits.slice_tolerance:g} less is allowed"
            )
    if problems:
        return Rule("slices", False, "; ".join(problems))
    if not facts.slices:
        return Rule("slices", True, "the feature repo declares no slices (slices.py)")
    beside = f"; too few rows to judge: {', '.join(small)}" if small else ""
    return Rule("slices", True, f"{judged} slices are above the floor of {limits.slice_floor:g}{beside}")

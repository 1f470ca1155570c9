"""The verdict on a month: the error rate that it may spend, its features, and the outcome for the whole. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamflow.monitoring.drift.feature import (
    DRIFTED,
    NO_DATA,
    STABLE,
    TOO_FEW_ROWS,
    Column,
    Feature,
    Thresholds,
    compare,
)

ERROR_RATE = 0.05
"""Chance that any verdict on a version ever says `drifted` without drift is at most this."""

SCORE = "score"


@dataclass(frozen=True)
class Compared:
    """Both sides of a feature.

    Attributes:
        reference: The reference.
        current: The month.
        nullable: Whether the model takes an absent value as a value.
        why: Why a side has no rows, if that is known.
    """

    reference: Column
    current: Column
    nullable: bool = False
    why: str = ""


def alpha_of(position: int) -> float:
    """Error rate of a version's n-th verdict; over all n, these add up to `ERROR_RATE`."""
    return ERROR_RATE * 6 / (math.pi * position) ** 2


def features_of(columns: Mapping[str, Compared], alpha: float, thresholds: Thresholds) -> list[Feature]:
    """Compare all features; each may spend the same part of the error rate.

    Args:
        columns: Both sides of each feature and of the score, by name.
        alpha: Error rate of the verdict.
        thresholds: What counts as drift.
    """
    return [
        compare(
            name,
            item.reference,
            item.current,
            alpha / len(columns),
            thresholds,
            nullable=item.nullable,
            why=item.why,
        )
        for name, item in columns.items()
    ]


def outcome(features: Sequence[Feature]) -> str:
    """The outcome for the whole: the worst one; `no_data` only if no feature has data."""
    found = {feature.outcome for feature in features}
    return next((each for each in (DRIFTED, TOO_FEW_ROWS, STABLE) if each in found), NO_DATA)


def why(features: Sequence[Feature]) -> str:
    """Why there is no data, and of which features; empty if all have data."""
    reasons: dict[str, list[str]] = {}
    for feature in features:
        if reason := feature.detail.get("why"):
            reasons.setdefault(str(reason), []).append(feature.name)
    if len(reasons) == 1 and len(features) == len(next(iter(reasons.values()))):
        return next(iter(reasons))
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())

"""The verdict on one feature: whether its values, or their absence, differ between the reference and a month. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.drift import anderson_darling, power, shares, shown, stability_index
from streamflow.monitoring.drift.distributions import (
    Counts,
    Numbers,
    TwoCategories,
    TwoNumbers,
    bin_counts,
    distance,
    pair,
)
from streamflow.monitoring.drift.power import Limits

DRIFTED, TOO_FEW_ROWS, NO_DATA, STABLE = "drifted", "too_few_rows", "no_data", "stable"
WORST_FIRST = (DRIFTED, NO_DATA, TOO_FEW_ROWS, STABLE)
NUMBER, CATEGORY = "number", "category"


@dataclass(frozen=True)
class Column:
    """The values of a feature on one side.

    Attributes:
        values: Distribution of a number, or rows by class of a category.
        absent: Number of rows without a value.
    """

    values: Numbers | Mapping[str, int]
    absent: int = 0

    @property
    def present(self) -> int:
        """Number of rows with a value."""
        return self.values.rows if isinstance(self.values, Numbers) else sum(self.values.values())


@dataclass(frozen=True)
class Thresholds:
    """What counts as drift, and what a month must be able to show.

    Attributes:
        shift: Smallest shift of a number that counts, in standard deviations of the reference.
        share: Smallest difference of a share that counts.
        blind_shift: A month that could not have shown this shift has too few rows.
        blind_share: The same for shares.
    """

    shift: float = 0.05
    share: float = 0.02
    blind_shift: float = 0.5
    blind_share: float = 0.1


@dataclass(frozen=True)
class Feature:
    """The verdict on a feature.

    Attributes:
        name: Name of the feature.
        outcome: The worse outcome of the test of its values and the test of their absence.
        p_value: The smaller p-value, times the number of tests; None without a test.
        effect: Difference of the values: standard deviations of a number, share of a category; None without values.
        smallest_detectable: Smallest difference that the month would have shown in 95 of 100 cases; None for none.
        psi: Population stability index; None without values.
        psi_without_drift: What the index is expected to be without drift.
        kind: `number` or `category`: how it was compared.
        alpha: Limit of the p-value.
        rows: Number of values of the month.
        reference_rows: Number of values of the reference.
        detail: Both distributions, the test of absence, and the reason for `no_data`.
    """

    name: str
    outcome: str
    p_value: float | None
    effect: float | None
    smallest_detectable: float | None
    psi: float | None
    psi_without_drift: float | None
    kind: str
    alpha: float
    rows: int
    reference_rows: int
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Test:
    outcome: str
    p_value: float
    effect: float
    smallest_detectable: float | None


def compare(
    name: str,
    reference: Column,
    current: Column,
    alpha: float,
    thresholds: Thresholds,
    *,
    nullable: bool = False,
    why: str = "",
) -> Feature:
    """Compare a feature of a month with the reference.

    Args:
        name: Name of the feature.
        reference: The reference.
        current: The month.
        alpha: Error rate of the feature, over both of its tests.
        thresholds: What counts.
        nullable: Whether the model takes an absent value as a value.
        why: Why a side has no rows, if that is known.
    """
    rows = (reference.present + reference.absent, current.present + current.absent)
    tests_absence = min(rows) > 0 and (nullable or reference.absent > 0 or current.absent > 0)
    tests_values = reference.present > 0 and current.present > 0
    share_of_alpha = alpha / max(tests_absence + tests_values, 1)
    detail: dict[str, Any] = {}
    values = absence = None
    index: tuple[float | None, float | None] = (None, None)
    kind = NUMBER if isinstance(reference.values, Numbers) else CATEGORY
    if tests_values:
        both = pair(reference.values, current.values)
        kind = NUMBER if isinstance(both, TwoNumbers) else CATEGORY
        values = _values(both, share_of_alpha, thresholds)
        detail |= shown.sides(both)
        index = _index(both)
    else:
        detail["why"] = why or _why(rows, reference, current)
    if tests_absence:
        absence = _absence(reference, current, share_of_alpha, thresholds)
        detail["absence"] = {
            "reference": reference.absent / rows[0],
            "current": current.absent / rows[1],
            "outcome": absence.outcome,
            "p_value": absence.p_value,
            "alpha": share_of_alpha,
            "smallest_detectable": absence.smallest_detectable,
        }
    tests = [test for test in (values, absence) if test is not None]
    outcomes = {test.outcome for test in tests} | (set() if tests_values else {NO_DATA})
    return Feature(
        name=name,
        outcome=next(outcome for outcome in WORST_FIRST if outcome in outcomes),
        p_value=min(1.0, min(test.p_value for test in tests) * len(tests)) if tests else None,
        effect=values.effect if values else None,
        smallest_detectable=values.smallest_detectable if values else None,
        psi=index[0],
        psi_without_drift=index[1],
        kind=kind,
        alpha=alpha,
        rows=current.present,
        reference_rows=reference.present,
        detail=detail,
    )


def _values(both: TwoNumbers | TwoCategories, alpha: float, thresholds: Thresholds) -> _Test:
    if isinstance(both, TwoCategories):
        return _share_test(both.reference, both.current, alpha, thresholds)
    limits = Limits(alpha, thresholds.shift)
    effect = distance(both.reference, both.current, both.reference.sd)
    p_value = anderson_darling.p_value(both.reference, both.current)
    smallest = power.of_number(both.reference, both.current.rows, limits)
    return _decide(p_value, effect, smallest, limits, thresholds.blind_shift)


def _absence(reference: Column, current: Column, alpha: float, thresholds: Thresholds) -> _Test:
    sides = [np.array([side.present, side.absent]) for side in (reference, current)]
    return _share_test(sides[0], sides[1], alpha, thresholds)


def _share_test(reference: Counts, current: Counts, alpha: float, thresholds: Thresholds) -> _Test:
    limits = Limits(alpha, thresholds.share)
    effect = float(shares.difference(reference, current))
    smallest = power.of_share(reference, int(current.sum()), limits)
    return _decide(shares.p_value(reference, current), effect, smallest, limits, thresholds.blind_share)


def _decide(p_value: float, effect: float, smallest: float | None, limits: Limits, blind: float) -> _Test:
    if p_value < limits.alpha and effect >= limits.smallest:
        outcome = DRIFTED
    elif smallest is None or smallest > blind:
        outcome = TOO_FEW_ROWS
    else:
        outcome = STABLE
    return _Test(outcome, p_value, effect, smallest)


def _index(both: TwoNumbers | TwoCategories) -> tuple[float, float]:
    one: npt.NDArray[np.integer]
    two: npt.NDArray[np.integer]
    if isinstance(both, TwoNumbers):
        _, one, two = bin_counts(both.reference, both.current, stability_index.BINS)
    else:
        one, two = shares.pooled(both.reference, both.current)
        if len(one) < 2:
            one, two = both.reference, both.current
    expected = stability_index.psi_without_drift(len(one), int(one.sum()), int(two.sum()))
    return stability_index.psi(one, two), expected


def _why(rows: tuple[int, int], reference: Column, current: Column) -> str:
    if not rows[1]:
        return "the month has no rows"
    if not rows[0]:
        return "the reference has no rows"
    sides = [name for name, side in (("reference", reference), ("month", current)) if not side.present]
    return f"every value of the {' and of the '.join(sides)} is absent"

"""Decide whether the loss of a month is harm. Pure.

A version is judged month after month, before and after the labels of a month are known. The customers of one month come
back in the next, so the months depend on each other, and so does each on the holdout. The error rate is therefore spent:
half of it once on the holdout, a quarter on the verdicts of each basis, of which the t-th gets the share 6 / (pi^2 t^2).
So at most 5 % of versions that do no harm are ever called harmful, however the months depend on each other (risk
monitoring: Podkopaev and Ramdas 2021, arXiv 2110.06177; Timans and others 2025, arXiv 2506.16416).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamflow.monitoring.harm import bounds
from streamflow.monitoring.harm.bounds import Losses

HARMFUL, NOT_SHOWN, TOO_FEW_ROWS, NO_DATA = "harmful", "not_shown", "too_few_rows", "no_data"
ERROR = 0.05
"""Largest share of harmless versions that are ever called harmful, over both bases and all months."""
REFERENCE_ERROR = ERROR / 2
"""The part of it that the bound of the holdout's loss spends."""
LEAST_ROWS = 100
"""A month or a holdout of fewer rows gets no verdict."""
_BASES = 2


@dataclass(frozen=True)
class Reference:
    """Brier loss of a version on its holdout.

    Attributes:
        rows: Rows of the holdout.
        mean: Mean loss.
        deviation: Standard deviation of the losses.
    """

    rows: int
    mean: float
    deviation: float

    @classmethod
    def of_holdout(cls, holdout: Mapping[str, Any]) -> Reference | None:
        """The reference in a contract; None in a contract of an earlier release, which lacks it."""
        if not holdout:
            return None
        mean, deviation = holdout["losses"]["brier"]
        return cls(int(holdout["rows"]), float(mean), float(deviation))


@dataclass(frozen=True)
class Judgement:
    """Verdict on the loss of a month.

    Attributes:
        verdict: `harmful`, `not_shown`, `too_few_rows` or `no_data`.
        why: The reason, in plain words.
        position: Number of the verdict among those of the version and the basis, from 1.
        alpha: Error rate that the verdict spends.
        rows: Rows of the month.
        loss: Mean loss of the month; None without rows.
        loss_low: Lower bound of its expected loss; None without a verdict on it.
        reference_loss: Mean loss of the holdout; None if the contract does not have it.
        reference_high: Upper bound of its expected loss; None without a verdict.
        tolerance: Increase over the holdout's loss that is not yet harm.
    """

    verdict: str
    why: str
    position: int
    alpha: float
    rows: int
    loss: float | None
    loss_low: float | None
    reference_loss: float | None
    reference_high: float | None
    tolerance: float


def alpha_of(position: int) -> float:
    """The error rate of a verdict; all positions of both bases add up to `ERROR - REFERENCE_ERROR`."""
    return (ERROR - REFERENCE_ERROR) / _BASES * 6 / (math.pi * position) ** 2


def judge(
    reference: Reference | None, losses: Losses, position: int, tolerance: float, missing: str = ""
) -> Judgement:
    """Decide whether the losses of a month show that the version does harm.

    Args:
        reference: Loss on the holdout; None if it is unknown.
        losses: Losses of the month.
        position: Number of the verdict among those of the version and the basis, from 1.
        tolerance: Increase over the holdout's loss that is not yet harm.
        missing: Why there are no losses; empty if there are.
    """
    alpha, known = alpha_of(position), reference.mean if reference else None

    def without(verdict: str, why: str) -> Judgement:
        return Judgement(
            verdict, why, position, alpha, losses.rows, losses.mean, None, known, None, tolerance
        )

    if reference is None:
        return without(
            NO_DATA,
            "the contract has no losses of the holdout: the version was trained by an earlier release",
        )
    if losses.mean is None:
        return without(NO_DATA, missing or "the month has no rows")
    if min(losses.rows, reference.rows) < LEAST_ROWS:
        return without(
            TOO_FEW_ROWS,
            f"{losses.rows} rows of the month and {reference.rows} of the holdout, {LEAST_ROWS} of each are needed",
        )
    low = bounds.lower_bound(losses, alpha)
    high = bounds.upper_bound(reference.mean, reference.deviation, reference.rows, REFERENCE_ERROR)
    allowed = high + tolerance
    verdict = HARMFUL if low > allowed else NOT_SHOWN
    why = (
        f"the loss is at least {low:.4f}, more than {allowed:.4f}"
        if verdict == HARMFUL
        else f"the loss {losses.mean:.4f} is at least {low:.4f}; harm would show from about"
        f" {allowed + losses.mean - low:.4f} on"
    )
    return Judgement(
        verdict, why, position, alpha, losses.rows, losses.mean, low, reference.mean, high, tolerance
    )

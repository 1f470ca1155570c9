"""The verdicts that a report shows, as they lie in the tables `monitoring.*`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

STABLE, DRIFTED, TOO_FEW_ROWS, NO_DATA = "stable", "drifted", "too_few_rows", "no_data"
HARMFUL, NOT_SHOWN = "harmful", "not_shown"
ESTIMATED, REALIZED = "estimated", "realized"
CATEGORY = "category"
"""Kind of a feature whose effect is a share; that of a number is in standard deviations."""


@dataclass(frozen=True)
class Drift:
    """A row of `monitoring.drift`: whether a month's inputs differ from the training set."""

    drift_id: int
    as_of: datetime
    known_at: datetime
    drop_id: str
    position: int
    alpha: float
    verdict: str
    why: str
    rows: int
    reference_as_of: datetime
    reference_known_at: datetime
    reference_rows: int
    judged_at: datetime


@dataclass(frozen=True)
class Feature:
    """A row of `monitoring.drift_features`, and since which month it has drifted.

    Attributes:
        since: First of the consecutive months up to the report's in which it drifted; None if it did not.
    """

    name: str
    kind: str
    outcome: str
    p_value: float | None
    alpha: float
    effect: float | None
    smallest_detectable: float | None
    psi: float | None
    psi_without_drift: float | None
    rows: int
    reference_rows: int
    detail: Mapping[str, Any]
    since: datetime | None = None


@dataclass(frozen=True)
class Quality:
    """A row of `monitoring.quality`: the quality of a month's scores."""

    version: int
    basis: str
    as_of: datetime
    label_as_of: datetime | None
    known_at: datetime
    drop_id: str
    label_drop_id: str
    rows: int
    positives: int | None
    threshold: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float | None
    log_loss_low: float | None
    log_loss_high: float | None
    brier: float | None
    brier_low: float | None
    brier_high: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    profit: float | None
    detail: Mapping[str, Any]
    judged_at: datetime


@dataclass(frozen=True)
class Harm:
    """A row of `monitoring.harm`: whether a month's loss exceeds that of the holdout by more than the tolerance."""

    basis: str
    as_of: datetime
    known_at: datetime
    drop_id: str
    label_drop_id: str
    position: int
    alpha: float
    rows: int
    loss: float | None
    loss_low: float | None
    reference_loss: float | None
    reference_high: float | None
    tolerance: float
    verdict: str
    why: str
    judged_at: datetime

    @property
    def limit(self) -> float | None:
        """Loss above which a month does harm."""
        return None if self.reference_high is None else self.reference_high + self.tolerance


@dataclass(frozen=True)
class Verdicts:
    """Everything that the report of a month shows.

    Attributes:
        model: Registered model.
        version: Version that was judged last in that month.
        as_of: The month.
        drifts: Verdicts on drift of the version up to the month, in the order in which they were given.
        features: Features of the month's newest verdict on drift.
        qualities: Newest row of each version, month and basis, up to the month, in the order of months.
        harms: Newest verdict on harm of each month and basis of the version, up to the month, in the order of months.
    """

    model: str
    version: int
    as_of: datetime
    drifts: tuple[Drift, ...] = ()
    features: tuple[Feature, ...] = ()
    qualities: tuple[Quality, ...] = ()
    harms: tuple[Harm, ...] = field(default=())

    @property
    def drift(self) -> Drift | None:
        """Newest verdict on drift of the month."""
        found = [item for item in self.drifts if item.as_of == self.as_of]
        return found[-1] if found else None

    @property
    def earlier(self) -> tuple[Drift, ...]:
        """Verdicts on drift of the month that a correction of its drop replaced."""
        return tuple(item for item in self.drifts if item.as_of == self.as_of and item is not self.drift)

    @property
    def by_month(self) -> tuple[Drift, ...]:
        """Newest verdict on drift of each month, in the order of months."""
        newest = {item.as_of: item for item in self.drifts}
        return tuple(newest[as_of] for as_of in sorted(newest))

    def quality(self, basis: str) -> Quality | None:
        """The row of the report's version and month."""
        wanted = (self.version, self.as_of, basis)
        found = [item for item in self.qualities if (item.version, item.as_of, item.basis) == wanted]
        return found[-1] if found else None

    @property
    def labelled(self) -> Quality | None:
        """The newest month of the version whose labels say something: not those that it was trained on."""
        by_labels = [
            item for item in self.qualities if (item.version, item.basis) == (self.version, REALIZED)
        ]
        return next((item for item in reversed(by_labels) if item.brier is not None), None)

    @property
    def judged_at(self) -> datetime:
        """When the newest of the rows was written; a report of what was judged by then is the same."""
        times = [item.judged_at for item in self.drifts] + [item.judged_at for item in self.qualities]
        return max(times + [item.judged_at for item in self.harms])

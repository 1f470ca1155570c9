"""What the rules of the gate look at: the recorded facts about a challenger and its champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from streamflow.model_version.contract import Contract


@dataclass(frozen=True)
class Figures:
    """One model on some rows.

    Attributes:
        auc: Area under the ROC curve.
        calibration_error: Expected calibration error.
        auc_low: Lower end of the AUC's 95 % interval.
    """

    auc: float
    calibration_error: float
    auc_low: float


@dataclass(frozen=True)
class Compared:
    """Both models on the same rows.

    Attributes:
        rows: Rows of the challenger's holdout that both were judged on.
        positives: Those whose label is True.
        trained_on: Rows left out because the champion was trained on them.
        not_served: Rows left out because the champion would refuse them.
        challenger: The challenger's figures.
        champion: The champion's figures.
        difference: The challenger's AUC minus the champion's.
        low: Lower end of the difference's 95 % interval.
        high: Upper end of the difference's 95 % interval.
    """

    rows: int
    positives: int
    trained_on: int
    not_served: int
    challenger: Figures
    champion: Figures
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class SliceFigures:
    """One part of the holdout.

    Attributes:
        slice: Name of the slice, as the feature repo declares it.
        value: Which part of it.
        rows: Rows of the part.
        positives: Those whose label is True.
        challenger_auc: The challenger's AUC on all rows of the part; None when they are too few.
        champion_auc: The champion's AUC on the common rows; None when they are too few, or without a champion.
        common_rows: Rows of the part that both models may be judged on.
        common_auc: The challenger's AUC on the common rows; None when they are too few, or without a champion.
    """

    slice: str
    value: str
    rows: int
    positives: int
    challenger_auc: float | None
    champion_auc: float | None
    common_rows: int = 0
    common_auc: float | None = None


@dataclass(frozen=True)
class Facts:
    """All that is known about a version when it is judged.

    Attributes:
        version: The challenger.
        champion: The version in production; None when there is none.
        refused: Why the challenger cannot be loaded or judged; "" when it can, golden rows included.
        holdout_auc: The challenger's AUC on its whole holdout, and its 95 % interval; None when it cannot be loaded.
        holdout_calibration: The challenger's calibration error on its whole holdout, and its 95 % interval; None when it
            cannot be loaded.
        compared: Both on the same rows; None without a champion, or when they cannot be compared.
        not_compared: Why they cannot be compared; "" when they were, or there is no champion.
        as_of: Date of the challenger's training set.
        champion_as_of: Date of the champion's training set.
        slices: The challenger's AUC by part of the holdout.
        online: Type of each column of each online table, as the contract names the views.
        contract: The challenger's contract; None when it cannot be read.
        latency_p99_ms: Processor time of one answer of the model alone, 99th percentile.
        new_drops: Drops that the challenger's training could see and the champion's could not.
        same_data: Whether both training sets have the same fingerprint.
    """

    version: int
    champion: int | None
    refused: str
    holdout_auc: tuple[float, float, float] | None
    holdout_calibration: tuple[float, float, float] | None
    compared: Compared | None
    not_compared: str
    as_of: datetime | None
    champion_as_of: datetime | None
    slices: tuple[SliceFigures, ...]
    online: Mapping[str, Mapping[str, str]]
    contract: Contract | None
    latency_p99_ms: float | None
    new_drops: tuple[str, ...] = ()
    same_data: bool = False

    @property
    def newer_data(self) -> bool:
        """Whether the challenger was trained on a drop that the champion had not seen, and so on other rows."""
        return bool(self.new_drops) and not self.same_data

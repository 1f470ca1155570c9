"""Columns -> which entities may be predicted from, and why not the others. Pure; the rules of `/predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamflow.encoding import LARGEST
from streamflow.model_version.contract import Contract
from streamflow.scoring.read import Chunk

NO_ROW, NULL_VALUES, STALE = "no_row", "null_values", "stale"
UNKNOWN_CATEGORY, NOT_FINITE = "unknown_category", "not_finite"


@dataclass(frozen=True)
class Verdict:
    """Which rows of a chunk may be predicted from.

    Attributes:
        good: Mask over the rows.
        reasons: Rows refused, by reason; the first that applies counts.
        features: Rows refused for want of a feature, by "view:feature".
    """

    good: npt.NDArray[np.bool_]
    reasons: dict[str, int]
    features: dict[str, int]


def judge(contract: Contract, chunk: Chunk, newest: Sequence[float], *, require_newest: bool) -> Verdict:
    """Judge the rows of a chunk: a row in every view, no required value null, nothing too old.

    Args:
        newest: Newest as-of per view, which ages are measured against; seconds since 1970.
        require_newest: Refuse values older than their view's newest.
    """
    position = {view.name: i for i, view in enumerate(contract.views)}
    without = [np.isnan(stamps) for stamps in chunk.stamps]
    no_row = np.logical_or.reduce(without)
    nulls, stale = np.zeros_like(no_row), np.zeros_like(no_row)
    features: dict[str, int] = {}
    for feature, column, absent in zip(contract.features, chunk.columns, chunk.absent, strict=True):
        # Lacking, because the row is not there, or because it holds null, or no number, where the model needs one.
        wanting = np.zeros_like(no_row) if feature.nullable else absent.copy()
        if feature.type == "float":
            # NaN compares false with everything.
            wanting |= ~absent & ~(np.abs(column) <= LARGEST)
        lacking = without[position[feature.view]] | wanting
        nulls |= wanting
        if count := int(lacking.sum()):
            features[f"{feature.view}:{feature.name}"] = count
    nulls &= ~no_row
    for view, stamps, latest in zip(contract.views, chunk.stamps, newest, strict=True):
        if require_newest:
            stale |= stamps < latest
        if view.max_age_seconds is not None:
            stale |= latest - stamps > view.max_age_seconds
    stale &= ~(no_row | nulls)
    reasons = {NO_ROW: int(no_row.sum()), NULL_VALUES: int(nulls.sum()), STALE: int(stale.sum())}
    return Verdict(~(no_row | nulls | stale), {k: n for k, n in reasons.items() if n}, features)

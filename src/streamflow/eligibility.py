"""May we predict from these values? One ordered list of rules, for one row and for whole columns.

    no_row        a feature view has no row of the entity
    null_values   a required value is null, or a number is not finite as float32
    stale         values are behind their view's newest as-of (where that is refused), or beyond their view's maximum age

The first rule that applies counts. `/predict`, which answers one entity at a time, asks `Rules.reason`; batch scoring
asks `Rules.judge` for columns. A property test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamflow.encoding import LARGEST
from streamflow.model_version.contract import Feature, View

NO_ROW, NULL_VALUES, STALE = "no_row", "null_values", "stale"
REASONS = (NO_ROW, NULL_VALUES, STALE)
"""Every reason, in the order in which the rules apply."""


@dataclass(frozen=True)
class Policy:
    """What counts as stale.

    Attributes:
        require_newest: Refuse values older than their view's newest as-of.
        now: Time that ages are measured against, in seconds since 1970; None measures against each view's newest as-of.
    """

    require_newest: bool
    now: float | None = None


@dataclass(frozen=True)
class Columns:
    """Feature values of n entities, a column each.

    Attributes:
        values: One array per feature; whatever stands where a value is absent is not looked at.
        absent: One mask per feature: which values are null.
        stamps: One array per view: as-of in seconds since 1970, NaN without a row.
    """

    values: Sequence[npt.NDArray[Any]]
    absent: Sequence[npt.NDArray[np.bool_]]
    stamps: Sequence[npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Verdict:
    """Which of n entities may be predicted from.

    Attributes:
        rule: Per entity, the position in REASONS of the rule that refuses it; -1 when none does.
        features: Refused entities that lack a feature, by "view:feature".
    """

    rule: npt.NDArray[np.int8]
    features: dict[str, int]

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Mask of the entities that may be predicted from."""
        return self.rule < 0

    @property
    def reasons(self) -> dict[str, int]:
        """Refused entities by reason."""
        counts = {reason: int((self.rule == i).sum()) for i, reason in enumerate(REASONS)}
        return {reason: count for reason, count in counts.items() if count}


class Rules:
    """The rules for the features and views of one contract."""

    def __init__(self, features: Sequence[Feature], views: Sequence[View]) -> None:
        self.features = tuple(features)
        self.views = tuple(view.name for view in views)
        self.max_ages = tuple(view.max_age_seconds for view in views)
        position = {name: i for i, name in enumerate(self.views)}
        self.view_of = tuple(position[feature.view] for feature in features)
        self.references = tuple(f"{feature.view}:{feature.name}" for feature in features)
        self._required = tuple(i for i, feature in enumerate(features) if not feature.nullable)
        self._floats = tuple(i for i, feature in enumerate(features) if feature.type == "float")

    def reason(
        self,
        values: Sequence[Any],
        stamps: Sequence[float | None],
        newest: Mapping[str, float],
        policy: Policy,
    ) -> str | None:
        """Why one entity may not be predicted from; None when it may.

        Args:
            values: Value per feature; None where absent.
            stamps: As-of per view in seconds since 1970; None without a row.
            newest: Newest as-of per view; values of a view that is not in it count as its newest.
            policy: What counts as stale.

        Raises:
            TypeError: A value of a float feature is not a number.
        """
        if None in stamps:
            return NO_ROW
        for i in self._required:
            if values[i] is None:
                return NULL_VALUES
        for i in self._floats:
            value = values[i]
            # NaN compares false with everything.
            if value is not None and not -LARGEST <= value <= LARGEST:
                return NULL_VALUES
        # `_is_stale` written out: a call for each view would double the cost of a fresh row.
        require_newest, now = policy.require_newest, policy.now
        for i, stamp in enumerate(stamps):
            latest = newest.get(self.views[i], stamp)
            limit = self.max_ages[i]
            if (require_newest and stamp < latest) or (  # type: ignore[operator]
                limit is not None and (latest if now is None else now) - stamp > limit  # type: ignore[operator]
            ):
                return STALE
        return None

    def lacking(self, values: Sequence[Any]) -> list[int]:
        """Positions of the features without a usable value: required ones that are null, then numbers not finite."""
        return [i for i in self._required if values[i] is None] + [
            i for i in self._floats if values[i] is not None and not -LARGEST <= values[i] <= LARGEST
        ]

    def stale(self, stamps: Sequence[float | None], newest: Mapping[str, float], policy: Policy) -> list[int]:
        """Positions of the views whose row is too old; a view without a row is not stale."""
        return [
            i
            for i, (view, limit, stamp) in enumerate(zip(self.views, self.max_ages, stamps, strict=True))
            if stamp is not None and _is_stale(stamp, newest.get(view, stamp), limit, policy)
        ]

    def lacking_columns(self, columns: Columns) -> list[npt.NDArray[np.bool_]]:
        """One mask per feature: the entities without a usable value of it, whether or not they have a row."""
        found = []
        for feature, values, absent in zip(self.features, columns.values, columns.absent, strict=True):
            lacking = np.zeros_like(absent) if feature.nullable else absent.copy()
            if feature.type == "float":
                # NaN compares false with everything.
                lacking |= ~absent & ~(np.abs(values) <= LARGEST)
            found.append(lacking)
        return found

    def judge(self, columns: Columns, newest: Sequence[float], policy: Policy) -> Verdict:
        """Judge many entities at once, by the same rules as `reason`.

        Args:
            columns: Their values.
            newest: Newest as-of per view in seconds since 1970.
            policy: What counts as stale.
        """
        without = [np.isnan(stamps) for stamps in columns.stamps]
        lacking = self.lacking_columns(columns)
        stale = np.zeros_like(without[0])
        for stamps, latest, limit in zip(columns.stamps, newest, self.max_ages, strict=True):
            if policy.require_newest:
                stale |= stamps < latest
            if limit is not None:
                stale |= (latest if policy.now is None else policy.now) - stamps > limit
        refused = (np.logical_or.reduce(without), np.logical_or.reduce(lacking), stale)
        rule = np.full(len(stale), -1, dtype=np.int8)
        for i in reversed(range(len(REASONS))):
            rule[refused[i]] = i
        features = {
            reference: int((without[view] | mask).sum())
            for reference, view, mask in zip(self.references, self.view_of, lacking, strict=True)
        }
        return Verdict(rule, {reference: count for reference, count in features.items() if count})


def _is_stale(stamp: float, newest: float, limit: float | None, policy: Policy) -> bool:
    if policy.require_newest and stamp < newest:
        return True
    if limit is None:
        return False
    return (newest if policy.now is None else policy.now) - stamp > limit

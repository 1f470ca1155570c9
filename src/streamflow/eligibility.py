"""Decide whether a prediction may be made from feature values, by one list of rules for rows and columns.

    no_row        a feature view has no row for the entity
    null_values   a required value is null, or a number is not finite as float32
    stale         a row is older than its view's newest as-of, if the policy refuses that, or than its
                  view's maximum age

The first rule that applies gives the reason. `/predict` checks one entity at a time with `Rules.reason`;
batch scoring checks columns with `Rules.judge`. A property test verifies that both give the same reasons.
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
"""All reasons, in the order in which the rules apply."""


@dataclass(frozen=True)
class Policy:
    """Which values count as stale.

    Attributes:
        require_newest: Whether values older than their view's newest as-of are stale.
        now: Time from which ages are computed, in seconds since 1970; None uses each view's newest as-of.
    """

    require_newest: bool
    now: float | None = None


@dataclass(frozen=True)
class Columns:
    """Feature values of n entities, as arrays of length n.

    Attributes:
        values: One array per feature; elements whose value is null are ignored.
        absent: One mask per feature, True where the value is null.
        stamps: One array per view: as-of in seconds since 1970, NaN if the entity has no row.
    """

    values: Sequence[npt.NDArray[Any]]
    absent: Sequence[npt.NDArray[np.bool_]]
    stamps: Sequence[npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Verdict:
    """Which of n entities may be predicted, and why the others may not.

    Attributes:
        rule: For each entity, the index in REASONS of the rule that refuses it; -1 if it may be predicted.
        features: Number of entities that lack a feature, by "view:feature".
    """

    rule: npt.NDArray[np.int8]
    features: dict[str, int]

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Mask of the entities that may be predicted."""
        return self.rule < 0

    @property
    def reasons(self) -> dict[str, int]:
        """Number of refused entities, by reason."""
        counts = {reason: int((self.rule == i).sum()) for i, reason in enumerate(REASONS)}
        return {reason: count for reason, count in counts.items() if count}


class Rules:
    """The rules, for the features and views of one contract.

    Attributes:
        features: Features, in the order of the contract.
        views: Names of the views, in the order of the contract.
        max_ages: Maximum age of each view's values, in seconds; None if they do not expire.
        view_of: For each feature, the index of its view in `views`.
        references: Name of each feature as "view:feature".
    """

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
        """Why one entity may not be predicted; None if it may.

        Args:
            values: Value of each feature; None for null.
            stamps: As-of of the entity's row in each view, in seconds since 1970; None if it has no row.
            newest: Newest as-of of each view, by name; rows of a view that is not listed count as its newest.
            policy: Which values count as stale.

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
            # `value < -LARGEST or value > LARGEST` would accept NaN: every comparison with it is false.
            if value is not None and not -LARGEST <= value <= LARGEST:
                return NULL_VALUES
        # The same as `_is_stale`, inlined: calling it for each view doubles the time that a fresh row takes.
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
        """Indexes of features without a usable value: first required nulls, then numbers not finite."""
        return [i for i in self._required if values[i] is None] + [
            i for i in self._floats if values[i] is not None and not -LARGEST <= values[i] <= LARGEST
        ]

    def stale(self, stamps: Sequence[float | None], newest: Mapping[str, float], policy: Policy) -> list[int]:
        """Indexes of the views whose row is stale; a view without a row is not."""
        return [
            i
            for i, (view, limit, stamp) in enumerate(zip(self.views, self.max_ages, stamps, strict=True))
            if stamp is not None and _is_stale(stamp, newest.get(view, stamp), limit, policy)
        ]

    def lacking_columns(self, columns: Columns) -> list[npt.NDArray[np.bool_]]:
        """One mask per feature, True where an entity has no usable value, even if it has no row at all."""
        found = []
        for feature, values, absent in zip(self.features, columns.values, columns.absent, strict=True):
            lacking = np.zeros_like(absent) if feature.nullable else absent.copy()
            if feature.type == "float":
                # Negated because every comparison with NaN is false.
                lacking |= ~absent & ~(np.abs(values) <= LARGEST)
            found.append(lacking)
        return found

    def judge(self, columns: Columns, newest: Sequence[float], policy: Policy) -> Verdict:
        """Apply the same rules as `reason` to many entities at once.

        Args:
            columns: Values of the entities.
            newest: Newest as-of of each view, in seconds since 1970.
            policy: Which values count as stale.
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
        # Last rule first, so that an earlier rule overwrites a later one.
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

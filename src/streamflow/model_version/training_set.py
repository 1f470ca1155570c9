"""The training set as a value: what the features stage builds and the training stage takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from streamflow.model_version.contract import Feature, View

LABEL = "label"
"""Column of a training set that holds the label."""


@dataclass(frozen=True)
class TrainingSet:
    """Complete rows of one as-of, sorted by key.

    Attributes:
        frame: Key, features in the order of `features`, and the boolean column `label`.
        key: Name of the key column.
        features: The feature schema.
        views: The feature views behind it.
        as_of: Event timestamp at which the features were joined.
        label_as_of: Drop date of the labels.
        known_at: Newest load time that was visible.
        fingerprint: Digest of all typed values.
        incomplete: Rows left out because a required feature is missing, by feature name.
    """

    frame: pd.DataFrame
    key: str
    features: tuple[Feature, ...]
    views: tuple[View, ...]
    as_of: datetime
    label_as_of: datetime
    known_at: datetime
    fingerprint: str
    incomplete: dict[str, int]

    @property
    def x(self) -> pd.DataFrame:
        """The features."""
        return self.frame[[feature.name for feature in self.features]]

    @property
    def y(self) -> pd.Series[bool]:
        """The labels."""
        return self.frame[LABEL]

    @property
    def positives(self) -> int:
        """Rows whose label is True."""
        return int(self.y.sum())

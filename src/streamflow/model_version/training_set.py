"""The training set, which the features stage builds and the training stage uses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from streamflow.model_version.contract import Feature, View

LABEL = "label"
"""Name of the label column in a training set."""


@dataclass(frozen=True)
class TrainingSet:
    """Features and labels of all complete rows as of one date, sorted by key.

    Attributes:
        frame: Column of the key, columns of the features in the order of `features`, and the boolean column `label`.
        key: Name of the key column.
        features: Schema of the features.
        views: Feature views of the features.
        as_of: Event timestamp at which the features were joined.
        label_as_of: As-of of the drop that the labels come from.
        known_at: Time up to which loaded rows were visible.
        fingerprint: Fingerprint of the typed values.
        incomplete: Number of rows left out because a required feature is missing, by feature.
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
        """Columns of the features, without a copy of their values."""
        return pd.DataFrame({feature.name: self.frame[feature.name] for feature in self.features}, copy=False)

    @property
    def y(self) -> pd.Series[bool]:
        """Column of the labels."""
        return self.frame[LABEL]

    @property
    def positives(self) -> int:
        """Number of rows whose label is True."""
        return int(self.y.sum())

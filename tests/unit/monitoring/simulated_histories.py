"""Simulated months in memory, and a model that is fitted on the first of them and scores the others."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from streamflow.encoding import Encoder
from streamflow.model_version.contract import Feature
from streamflow.monitoring.drift import month
from streamflow.monitoring.drift.distributions import Numbers, of
from streamflow.monitoring.drift.feature import Column
from streamflow.monitoring.drift.month import Compared
from streamflow.repo import definitions
from streamflow.training import holdout

REPO = definitions.load(Path(__file__).parents[3] / "feature_repo")
REQUIRED = ["ticket_avg_resolution_hrs_90d"]
NULLABLE = ("plan_stream_tv", "plan_stream_movies")
FEATURES = [
    *(
        Feature(name, "a_view", "double")
        for name in ("months_active", "monthly_fee", "watch_hours_30d", "avg_session_mins_7d")
    ),
    *(
        Feature(name, "a_view", "int64")
        for name in (
            "unique_devices_30d",
            "skips_7d",
            "rebuffer_events_7d",
            "failed_payments_90d",
            "support_tickets_90d",
        )
    ),
    Feature("ticket_avg_resolution_hrs_90d", "a_view", "double"),
    Feature("paperless_billing", "a_view", "bool"),
    *(Feature(name, "a_view", "bool", nullable=True) for name in NULLABLE),
    Feature("net_service", "a_view", "string", categories=("DSL", "Fiber optic", "No")),
]
"""Those of `churn_v1`."""
_NAMES = {*(feature.name for feature in FEATURES), "churn_label"}


def months(users, count, seed, drift=None, **more):
    """The columns of one month after the other, and its labels."""
    for _, tables in REPO.simulate(users, count, seed, date(2024, 1, 31), drift or {}, **more):
        columns = {name: table[name] for table in tables.values() for name in table if name in _NAMES}
        yield pd.DataFrame(columns, copy=False)


def column(feature, frame):
    """The values of a feature as `monitoring.drift` reads them."""
    values = frame[feature.name]
    absent = int(values.isna().sum())
    if feature.type in ("bool", "string"):
        counts = values.dropna().value_counts()
        return Column({str(value).lower(): int(rows) for value, rows in counts.items()}, absent)
    return Column(of(values.to_numpy(np.float64)), absent)


class Model:
    """What a version keeps: the columns that it was trained on, and the scores of its holdout."""

    def __init__(self, frame, estimator, seed=42):
        self.encoder = Encoder(FEATURES)
        self.reference = {feature.name: column(feature, frame) for feature in FEATURES}
        complete = frame.dropna(subset=REQUIRED)
        labels = complete.churn_label.to_numpy()
        train, held, y, self.held_labels = train_test_split(
            self.encoded(complete), labels, test_size=0.25, stratify=labels, random_state=seed
        )
        self.classifier = REPO.estimators[estimator](seed).fit(train, y)
        self.held_scores = self.classifier.predict_proba(held)[:, 1].astype(np.float64)

    def encoded(self, frame):
        """The matrix of a month."""
        columns = [
            frame[feature.name].astype("Float64").to_numpy(np.float64, na_value=np.nan)
            if feature.type == "bool"
            else frame[feature.name].to_numpy()
            for feature in FEATURES
        ]
        return self.encoder.encode_columns(columns)[0]

    def scored(self, frame):
        """The scores of a month, and its labels."""
        complete = frame.dropna(subset=REQUIRED)
        scores = self.classifier.predict_proba(self.encoded(complete))[:, 1]
        return scores.astype(np.float64), complete.churn_label.to_numpy()

    def compared(self, frame):
        """Both sides of each feature and of the score."""
        found = {
            feature.name: Compared(self.reference[feature.name], column(feature, frame), feature.nullable)
            for feature in FEATURES
        }
        scores, _ = self.scored(frame)
        return found | {month.SCORE: Compared(binned(self.held_scores), binned(scores))}


def binned(scores):
    """Scores as a contract keeps them."""
    counts = np.bincount(
        np.minimum((scores * holdout.BINS).astype(int), holdout.BINS - 1), minlength=holdout.BINS
    )
    filled = np.flatnonzero(counts)
    return Column(Numbers((filled + 0.5) / holdout.BINS, counts[filled].astype(np.int64)))

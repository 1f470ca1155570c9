"""Versions of a small model, registered in a real MLflow in a moment: for tests of what happens to versions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from streamflow import repo as repos
from streamflow.contract import Feature, View
from streamflow.registry import versions
from streamflow.settings import Settings
from streamflow.training import fit
from streamflow.training.record import record
from streamflow.training_set import LABEL, TrainingSet

MOMENT = datetime(2024, 1, 31, tzinfo=UTC)
FEATURES = (
    Feature("monthly_fee", "subs_profile_fv", "float"),
    Feature("skips_7d", "usage_agg_30d_fv", "int"),
)


def small_training_set(rows: int = 300) -> TrainingSet:
    """Two features, a label that follows from them and from noise."""
    rng = np.random.default_rng(7)
    fee, skips = rng.normal(60, 20, rows), rng.poisson(5, rows)
    label = rng.random(rows) < 1 / (1 + np.exp(-(fee - 60) / 10 - (skips - 5) / 3))
    frame = pd.DataFrame(
        {
            "user_id": [f"u{i:04}" for i in range(rows)],
            "monthly_fee": fee,
            "skips_7d": skips.astype("int64"),
            LABEL: label,
        }
    )
    views = (View("subs_profile_fv", None), View("usage_agg_30d_fv", None))
    return TrainingSet(frame, "user_id", FEATURES, views, MOMENT, MOMENT, MOMENT, "f" * 40, {})


def register_small(settings: Settings) -> int:
    """Fit, record and register one small version."""
    repo = repos.load(settings)
    data = small_training_set()
    fitted = fit.fit(
        repo,
        data.features,
        data.x,
        data.y.to_numpy(),
        data.frame[data.key].tolist(),
        settings.training,
        estimator="logistic_regression",
    )
    run = record(settings, repo, data, fitted, [])
    return copy(settings, run.run_id, run.source, run.manifest_sha256)


def copy(settings: Settings, run_id: str, source: str, manifest_sha256: str) -> int:
    tags = {versions.MANIFEST_TAG: manifest_sha256, versions.ESTIMATOR_TAG: "logistic_regression"}
    return versions.register(settings, run_id=run_id, source=source, tags=tags)


@pytest.fixture
def make(settings: Settings, mlflow_server: str) -> Callable[[int], list[int]]:
    """Makes so many versions, all with the same files."""

    def made(count: int) -> list[int]:
        first = register_small(settings)
        held = versions.get(settings, first)
        tag = held.tags[versions.MANIFEST_TAG]
        return [first, *(copy(settings, held.run_id, held.source, tag) for _ in range(count - 1))]

    return made

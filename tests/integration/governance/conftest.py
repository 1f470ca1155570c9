"""Versions of a small model, quickly registered in a real MLflow, for tests of promotion and audit."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from streamflow.model_version import tags as version_tags
from streamflow.model_version.contract import Feature, View
from streamflow.model_version.training_set import LABEL, TrainingSet
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.registry import releases, versions
from streamflow.repo import definitions
from streamflow.settings import Settings
from streamflow.training import fit
from streamflow.training.record import record

MOMENT = datetime(2024, 1, 31, tzinfo=UTC)
FEATURES = (
    Feature("monthly_fee", "subs_profile_fv", "float"),
    Feature("skips_7d", "usage_agg_30d_fv", "int"),
)


def small_training_set(rows: int = 300) -> TrainingSet:
    """Two features, and a label that depends on them and on noise."""
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
    repo = definitions.load(settings.feast.repo)
    data = small_training_set()
    fitted = fit.fit(
        repo,
        data.features,
        data.x,
        data.y.to_numpy(),
        data.frame[data.key],
        settings.training,
        estimator="logistic_regression",
    )
    run = record(settings.mlflow, settings.training, settings.build, repo, data, fitted, [], clock.machine())
    with transaction(settings.database) as connection:
        releases.record_trained(
            connection,
            settings.mlflow.registered_model,
            run.manifest_sha256,
            run.run_id,
            fitted.split.digest,
        )
    return copy(settings, run.run_id, run.source, run.manifest_sha256)


def copy(settings: Settings, run_id: str, source: str, manifest_sha256: str) -> int:
    tags = {version_tags.MANIFEST_SHA256: manifest_sha256, version_tags.ESTIMATOR: "logistic_regression"}
    return versions.register(settings.mlflow, run_id=run_id, source=source, tags=tags)


@contextlib.contextmanager
def _spoilt(
    settings: Settings, run_id: str, path: str, change: Callable[[bytes], bytes] | None
) -> Iterator[None]:
    """Replace one artifact of a run, or remove it, while the context lasts."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from streamflow.mlflow_api import sdk

    with sdk.client(settings.mlflow) as client, tempfile.TemporaryDirectory() as folder:
        file = Path(client.download_artifacts(run_id, path, folder))
        content, parent = file.read_bytes(), path.rpartition("/")[0]
        store = get_artifact_repository(client.get_run(run_id).info.artifact_uri, client.tracking_uri)
        try:
            if change is None:
                store.delete_artifacts(path)
            else:
                file.write_bytes(change(content))
                client.log_artifact(run_id, str(file), parent)
            yield
        finally:
            file.write_bytes(content)
            client.log_artifact(run_id, str(file), parent)


@pytest.fixture
def spoilt() -> Callable[..., contextlib.AbstractContextManager[None]]:
    """A context manager that changes an artifact of a run: settings, run, path, and new content from old."""
    return _spoilt


@pytest.fixture
def make(settings: Settings, mlflow_server: str) -> Callable[[int], list[int]]:
    """Makes that many versions, all with the same files."""

    def made(count: int) -> list[int]:
        first = register_small(settings)
        held = versions.get(settings.mlflow, first)
        tag = held.tags[version_tags.MANIFEST_SHA256]
        return [first, *(copy(settings, held.run_id, held.source, tag) for _ in range(count - 1))]

    return made


@pytest.fixture(scope="session")
def register() -> Callable[[Settings], int]:
    """Fits, records and registers one small version in the MLflow of the settings."""
    return register_small

"""Train a challenger on the data as of a date and as known at a time, and register it as a model version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import pyarrow as pa

from streamflow import log, point_in_time
from streamflow.drops.ledger import LedgerEntry
from streamflow.errors import StreamFlowError
from streamflow.mlflow_api import sdk
from streamflow.model_version import tags as version_tags
from streamflow.model_version.training_set import TrainingSet
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.registry import releases, versions
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings, MlflowSettings, Settings
from streamflow.training import fit
from streamflow.training.record import Recorded, record

Build = Callable[[FeatureRepo, date | None, datetime], tuple[TrainingSet, list[LedgerEntry]]]
"""Builds the training set as of a date (None: of the newest drop), as known at a time; also gives the drops of then."""


@dataclass(frozen=True)
class Trained:
    """A finished training and the model version that it registered.

    Attributes:
        run_id: MLflow's id of the run.
        version: Number of the registered model version.
        estimator: Name of the estimator in the feature repo.
        fingerprint: Fingerprint of the training set.
        rows: Number of rows in the training set.
        positives: Number of rows whose label is True.
        incomplete: Number of rows left out because a required feature is missing, by feature.
        metrics: Metrics on the holdout.
        threshold: Lowest probability that counts as a positive prediction.
        threshold_rule: How it was chosen.
        calibration: Curve behind the classifier: `isotonic`, `platt` or `none`.
        cross_validated: Mean AUC over the folds, by candidate; empty if the caller named the estimator.
        left_out: Why a candidate was left out, by candidate.
        train_seconds: Duration of the final fit, in seconds.
        as_of: As-of of the features.
        label_as_of: As-of of the drop that the labels come from.
        known_at: Time up to which loaded rows were visible.
        drops: Ids of the visible drops, up to the as-of of features and labels.
    """

    run_id: str
    version: int
    estimator: str
    fingerprint: str
    rows: int
    positives: int
    incomplete: dict[str, int]
    metrics: dict[str, float]
    threshold: float
    threshold_rule: str
    calibration: str
    cross_validated: dict[str, float]
    left_out: dict[str, str]
    train_seconds: float
    as_of: datetime
    label_as_of: datetime
    known_at: datetime
    drops: tuple[str, ...]


def train(
    settings: Settings,
    as_of: date | None = None,
    known_at: datetime | None = None,
    *,
    estimator: str | None = None,
    horizon: int | None = None,
    build: Build | None = None,
) -> Trained:
    """Build the training set, fit and evaluate an estimator, record the run and register a model version.

    Args:
        as_of: As-of of the features, which must be that of a drop; by default that of the newest.
        known_at: Time up to which loaded rows are visible; by default now.
        estimator: Name in `feature_repo/estimator.py`; by default the candidate with the highest cross-validated AUC.
        horizon: Number of drops between features and label; by default what the feature repo declares.
        build: What builds the training set; by default PostgreSQL.

    Raises:
        UsageError: `known_at` is in the future, so the run could not be repeated, no drop of that as-of was loaded by
            `known_at`, or the estimator is not defined.
        NotFound: No label of that as-of was loaded by `known_at`.
        NotYet: No drop was.
        Refused: The training set has too few rows, or the estimator cannot be served.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    began = clock.machine()
    repo = definitions.load(settings.feast.repo).with_horizon(horizon)
    with transaction(settings.database) as connection:
        known = clock.known_until(connection, known_at)
    build = build or partial(point_in_time.training_set, settings.database)
    data, loaded = build(repo, as_of, known)
    # Arrow keeps what the join has freed: 80 bytes a row, which the fit needs.
    pa.default_memory_pool().release_unused()
    fitted = fit.fit(
        repo,
        data.features,
        data.x,
        data.y.to_numpy(),
        data.frame[data.key],
        settings.training,
        estimator=estimator,
    )
    for name, why in fitted.left_out.items():
        log.get(__name__).warning("a candidate is left out", estimator=name, why=why)
    newest = max(data.as_of, data.label_as_of).date()
    seen = [{"drop_id": d.drop_id, "digest": d.digest} for d in loaded if d.as_of <= newest]
    run = record(settings.mlflow, settings.training, settings.build, repo, data, fitted, seen, began)
    version = _register(settings.database, settings.mlflow, run, data, fitted)
    return Trained(
        run_id=run.run_id,
        version=version,
        estimator=fitted.estimator,
        fingerprint=data.fingerprint,
        rows=len(data.frame),
        positives=data.positives,
        incomplete=data.incomplete,
        metrics=fitted.metrics,
        threshold=fitted.threshold.value,
        threshold_rule=fitted.threshold.rule,
        calibration=fitted.calibration.method,
        cross_validated=fitted.cross_validated,
        left_out=fitted.left_out,
        train_seconds=fitted.train_seconds,
        as_of=data.as_of,
        label_as_of=data.label_as_of,
        known_at=data.known_at,
        drops=tuple(drop["drop_id"] for drop in seen),
    )


def _register(
    database: DatabaseSettings, mlflow: MlflowSettings, run: Recorded, data: TrainingSet, fitted: fit.Fitted
) -> int:
    """Record that the model was trained here, then register it; what nobody trained here cannot be promoted."""
    with transaction(database) as connection:
        releases.record_trained(
            connection, mlflow.registered_model, run.manifest_sha256, run.run_id, fitted.split.digest
        )
    # Whatever else is known of a version is in its files: MLflow's pages show all tags of all versions in one table.
    tags = {
        version_tags.MANIFEST_SHA256: run.manifest_sha256,
        version_tags.ESTIMATOR: fitted.estimator,
        version_tags.AS_OF: data.as_of.date().isoformat(),
        version_tags.AUC: f"{fitted.metrics['auc']:.6f}",
    }
    version = versions.register(mlflow, run_id=run.run_id, source=run.source, tags=tags)
    try:
        with sdk.client(mlflow) as client:
            sdk.name_version(client, run.model_id, mlflow.registered_model, version)
    except StreamFlowError as error:
        # The version is registered. A caller who took this for a failure would train again.
        log.get(__name__).warning(
            "MLflow's page of the model does not name its version", **log.describe(error)
        )
    return version

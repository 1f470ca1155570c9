"""Train a challenger as of a date, as known at a time, and register it as a model version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from streamflow.drops import ledger
from streamflow.features import training_set
from streamflow.model_version import tags as version_tags
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.registry import versions
from streamflow.repo import definitions
from streamflow.settings import Settings
from streamflow.snapshots import views
from streamflow.snapshots.as_of import label_as_of, newest_as_of
from streamflow.times import midnight
from streamflow.training import fit
from streamflow.training.record import record


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        run_id: MLflow run.
        version: Number of the registered model version.
        estimator: Name of the estimator that was fitted.
        fingerprint: Fingerprint of the training set.
        rows: Rows of the training set.
        positives: Rows whose label is True.
        incomplete: Rows left out, by the required feature that is missing.
        metrics: Figures on the holdout.
        cross_validated: Mean AUC over folds, by candidate.
        train_seconds: Duration of the fit.
        as_of: When the world was looked at.
        label_as_of: Drop date of the labels.
        known_at: Newest load time that was visible.
        drops: Ids of the visible drops up to the label's date.
    """

    run_id: str
    version: int
    estimator: str
    fingerprint: str
    rows: int
    positives: int
    incomplete: dict[str, int]
    metrics: dict[str, float]
    cross_validated: dict[str, float]
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
) -> Trained:
    """Build the training set, fit, judge, log and register.

    Args:
        settings: Where everything is, and how to train.
        as_of: When the world is looked at; default: the newest drop.
        known_at: Newest load time that may be seen; default: now.
        estimator: One of `feature_repo/estimator.py`; default: the best by cross-validation.
        horizon: Overrides the label's declared horizon, in drops.

    Raises:
        UsageError: `known_at` is in the future, so a later run with it could see more.
        NotFound: No drop, or no label, of that date was known then.
        Refused: Too little to learn from.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    repo = definitions.load(settings.feast.repo).with_horizon(horizon)
    with transaction(settings) as connection:
        known = clock.known_until(connection, known_at)
        loaded = ledger.entries(connection, known)
    dates = [drop.as_of for drop in loaded]
    at = midnight(as_of) if as_of else newest_as_of(dates)
    label_at = label_as_of(dates, at.date(), repo.label.horizon)
    with views.frozen(settings, repo, known) as schema:
        data = training_set.build(
            settings, repo, as_of=at, label_as_of=label_at, known_at=known, db_schema=schema
        )
    fitted = fit.fit(
        repo,
        data.features,
        data.x,
        data.y.to_numpy(),
        data.frame[data.key].tolist(),
        settings.training,
        estimator=estimator,
    )
    seen = [{"drop_id": d.drop_id, "digest": d.digest} for d in loaded if d.as_of <= max(at, label_at).date()]
    run = record(settings, repo, data, fitted, seen)
    tags = {
        **run.lineage,
        version_tags.MANIFEST_SHA256: run.manifest_sha256,
        version_tags.FINGERPRINT: data.fingerprint,
        version_tags.ESTIMATOR: fitted.estimator,
        version_tags.AS_OF: at.date().isoformat(),
        version_tags.AUC: f"{fitted.metrics['auc']:.6f}",
    }
    version = versions.register(settings, run_id=run.run_id, source=run.source, tags=tags)
    return Trained(
        run_id=run.run_id,
        version=version,
        estimator=fitted.estimator,
        fingerprint=data.fingerprint,
        rows=len(data.frame),
        positives=data.positives,
        incomplete=data.incomplete,
        metrics=fitted.metrics,
        cross_validated=fitted.cross_validated,
        train_seconds=fitted.train_seconds,
        as_of=at,
        label_as_of=label_at,
        known_at=known,
        drops=tuple(drop["drop_id"] for drop in seen),
    )

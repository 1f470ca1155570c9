"""Log a training as an MLflow run: parameters, figures, plots, the training set itself, the model's files."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from streamflow.mlflow_api import sdk
from streamflow.model_version import files
from streamflow.model_version import tags as version_tags
from streamflow.model_version.contract import Contract, drops_digest
from streamflow.model_version.training_set import TrainingSet
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings
from streamflow.training import package, plots
from streamflow.training.fit import Fitted, describe, importances
from streamflow.training.lineage import lineage, packages, sources


@dataclass(frozen=True)
class Recorded:
    """A finished run.

    Attributes:
        run_id: MLflow run.
        source: URI of the model folder inside the run.
        contract: The model's contract.
        manifest_sha256: Pins every file of the model folder.
        lineage: Tags that say by which code and in which environment.
    """

    run_id: str
    source: str
    contract: Contract
    manifest_sha256: str
    lineage: dict[str, str]


def record(
    settings: Settings, repo: FeatureRepo, data: TrainingSet, fitted: Fitted, drops: list[dict[str, str]]
) -> Recorded:
    """Write everything to a new run and end it; a failure on the way marks the run as failed.

    Args:
        drops: Id and digest of each drop that was visible.

    Raises:
        DependencyDown: MLflow does not answer.
        StreamFlowError: the compiled classifier does not reproduce the estimator.
    """
    with tempfile.TemporaryDirectory(prefix="streamflow-train-") as name, sdk.client(settings) as client:
        folder = Path(name)
        contract = package.write(
            folder / files.MODEL,
            fitted,
            data,
            make_contract(settings, repo, data, fitted, drops),
            golden_rows=settings.training.golden_rows,
        )
        _write_artifacts(folder, settings, repo, data, fitted, contract, drops)
        made_by = lineage(repo.path, settings.build)
        experiment = sdk.experiment_id(client, settings.mlflow.experiment)
        run = client.create_run(
            experiment,
            run_name=f"{fitted.estimator} as of {data.as_of.date()}",
            tags={**made_by, version_tags.FINGERPRINT: data.fingerprint},
        )
        try:
            _log_figures(client, run.info.run_id, settings, repo, data, fitted, contract, drops)
            client.log_artifacts(run.info.run_id, str(folder))
            client.set_terminated(run.info.run_id, "FINISHED")
        except BaseException:
            client.set_terminated(run.info.run_id, "FAILED")
            raise
        return Recorded(
            run_id=run.info.run_id,
            source=f"{run.info.artifact_uri}/{files.MODEL}",
            contract=contract,
            manifest_sha256=package.manifest_sha256(folder / files.MODEL),
            lineage=made_by,
        )


def make_contract(
    settings: Settings, repo: FeatureRepo, data: TrainingSet, fitted: Fitted, drops: list[dict[str, str]]
) -> Contract:
    """The contract of a fitted model, before its runtime was checked."""
    return Contract(
        model=settings.mlflow.registered_model,
        feature_service=repo.feature_service_name,
        join_key=repo.join_key,
        features=data.features,
        views=data.views,
        threshold=settings.training.threshold,
        label={**asdict(repo.label), "as_of": data.label_as_of.isoformat()},
        estimator=fitted.estimator,
        as_of=data.as_of.isoformat(),
        known_at=data.known_at.isoformat(),
        fingerprint=data.fingerprint,
        drops=tuple(drop["drop_id"] for drop in drops),
        statistics=describe(data.features, data.x.iloc[fitted.split.train]),
    )


def _write_artifacts(
    folder: Path,
    settings: Settings,
    repo: FeatureRepo,
    data: TrainingSet,
    fitted: Fitted,
    contract: Contract,
    drops: list[dict[str, str]],
) -> None:
    part = np.full(len(data.frame), "train", dtype=object)
    part[fitted.split.holdout] = "holdout"
    rows = folder / files.TRAINING_SET
    rows.mkdir()
    data.frame.to_parquet(rows / files.ROWS, index=False)
    pd.DataFrame({data.key: data.frame[data.key], "part": part}).to_parquet(rows / files.SPLIT, index=False)
    facts = {
        "fingerprint": data.fingerprint,
        "rows": len(data.frame),
        "positives": data.positives,
        "incomplete": data.incomplete,
        "split_digest": fitted.split.digest,
        "drops": drops,
    }
    (rows / files.FINGERPRINT).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    schema = {"features": [asdict(feature) for feature in contract.features]}
    (folder / files.FEATURE_SCHEMA).write_text(json.dumps(schema, indent=2), encoding="utf-8")
    (folder / files.PACKAGES).write_text(json.dumps(packages(), indent=2, sort_keys=True), encoding="utf-8")
    (folder / files.SOURCES).write_text(json.dumps(sources(repo.path), indent=2), encoding="utf-8")
    plots.write(
        folder / files.PLOTS,
        data.y.to_numpy()[fitted.split.holdout],
        fitted.holdout_probabilities,
        settings.training.threshold,
        importances(fitted.pipeline, data.features),
    )


def _log_figures(
    client: Any,
    run_id: str,
    settings: Settings,
    repo: FeatureRepo,
    data: TrainingSet,
    fitted: Fitted,
    contract: Contract,
    drops: list[dict[str, str]],
) -> None:
    classifier = fitted.pipeline[-1]
    params = {
        "as_of": contract.as_of,
        "known_at": contract.known_at,
        "label_as_of": data.label_as_of.isoformat(),
        "label_horizon": repo.label.horizon,
        # The newest ones, for people; all of them, with their digests, are in fingerprint.json.
        "drop_ids": ",".join(contract.drops[-20:]),
        "drops": len(drops),
        "drops_digest": drops_digest(drops),
        "feature_service": contract.feature_service,
        "estimator": fitted.estimator,
        "seed": settings.training.seed,
        "holdout_share": settings.training.holdout_share,
        "folds": settings.training.folds,
        "threads": settings.training.threads,
        "threshold": contract.threshold,
        "rows": len(data.frame),
        "positives": data.positives,
        "split_digest": fitted.split.digest,
        **{
            f"estimator.{key}": value
            for key, value in classifier.get_params(deep=True).items()
            if isinstance(value, (str, int, float, bool, type(None)))
        },
    }
    figures = {
        **fitted.metrics,
        "train_seconds": fitted.train_seconds,
        "runtime_largest_difference": float(contract.runtime["largest_difference"]),
        **{f"cv_auc_{name}": value for name, value in fitted.cross_validated.items()},
    }
    sdk.log_figures(client, run_id, metrics=figures, params=params)

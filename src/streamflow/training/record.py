"""Record a training as an MLflow run, with parameters, metrics, plots, training set and model files."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from streamflow.errors import Refused
from streamflow.mlflow_api import sdk
from streamflow.model_version import files, run_record
from streamflow.model_version import tags as version_tags
from streamflow.model_version.contract import Contract, drops_digest
from streamflow.model_version.run_record import RunRecord
from streamflow.model_version.training_set import LABEL, TrainingSet
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import BuildSettings, MlflowSettings, TrainingSettings
from streamflow.training import candidates, holdout, package, plots, run_page
from streamflow.training.fit import Fitted, importances
from streamflow.training.lineage import lineage, packages, sources
from streamflow.training.statistics import describe


@dataclass(frozen=True)
class Recorded:
    """A finished MLflow run.

    Attributes:
        run_id: MLflow's id of the run.
        source: URI of the model folder among the run's artifacts.
        contract: Contract of the model.
        manifest_sha256: SHA-256 of the manifest, which pins every file of the model folder.
        model_id: MLflow's id of the model among the run's outputs.
    """

    run_id: str
    source: str
    contract: Contract
    manifest_sha256: str
    model_id: str


def record(
    mlflow: MlflowSettings,
    training: TrainingSettings,
    build: BuildSettings,
    repo: FeatureRepo,
    data: TrainingSet,
    fitted: Fitted,
    drops: list[dict[str, str]],
    began: datetime,
) -> Recorded:
    """Record a training as a new MLflow run and end the run, as failed if recording fails.

    Args:
        mlflow: Where MLflow is, and the registered model.
        training: How the model was trained.
        build: Where the running code comes from.
        repo: Feature repo that the training set comes from.
        data: Training set.
        fitted: Pipeline fitted on the training set.
        drops: Id (`drop_id`) and `digest` of each drop that the training could see.
        began: When the training began, by the clock of this machine.

    Raises:
        DependencyDown: MLflow does not answer.
        Refused: The estimator cannot be served, or the model is too large for it.
        StreamFlowError: MLflow refuses a request.
    """
    with tempfile.TemporaryDirectory(prefix="streamflow-train-") as path, sdk.client(mlflow) as client:
        folder = Path(path)
        made_by = lineage(repo.path, build)
        contract = package.write(
            folder / files.MODEL,
            fitted,
            data,
            make_contract(mlflow.registered_model, repo, data, fitted, drops),
            made_by,
            golden_rows=training.golden_rows,
        )
        _check_size(folder / files.MODEL)
        _write_artifacts(folder, repo, data, fitted, contract, drops)
        experiment = sdk.experiment_id(client, mlflow.experiment)
        shown = _shown(mlflow.username, build, made_by, data, fitted)
        run = client.create_run(
            experiment,
            start_time=int(began.timestamp() * 1000),
            run_name=run_page.name(data, fitted.estimator),
            tags={**made_by, version_tags.FINGERPRINT: data.fingerprint, **sdk.page_tags(**shown)},
        )
        try:
            logged = _run_record(training, repo, data, fitted, contract, drops).parameters()
            figures = _figures(fitted, contract)
            name = run_page.name(data, fitted.estimator)
            model_id = _log_model(client, experiment, run.info.run_id, name, logged, figures)
            _log_data_set(client, run.info.run_id, data, drops_digest(drops))
            candidates.record(client, experiment, run.info.run_id, training, fitted, shown, began)
            client.log_artifacts(run.info.run_id, str(folder))
            client.finalize_logged_model(model_id, "READY")
            client.set_terminated(run.info.run_id, "FINISHED")
        except BaseException:
            # KeyboardInterrupt included: MLflow would show the run as running forever.
            client.set_terminated(run.info.run_id, "FAILED")
            raise
        return Recorded(
            run_id=run.info.run_id,
            source=f"{run.info.artifact_uri}/{files.MODEL}",
            contract=contract,
            manifest_sha256=package.manifest_sha256(folder / files.MODEL),
            model_id=model_id,
        )


def _shown(
    account: str, build: BuildSettings, made_by: dict[str, str], data: TrainingSet, fitted: Fitted
) -> dict[str, Any]:
    """What MLflow's page shows of who made a run, and from where."""
    return {
        "user": run_page.user(account),
        "source": run_page.SOURCE,
        "is_job": bool(build.image),
        "commit": made_by[version_tags.CODE_COMMIT],
        "description": run_page.description(data, fitted),
    }


def _log_model(
    client: Any,
    experiment: str,
    run_id: str,
    name: str,
    parameters: dict[str, str],
    figures: dict[str, float],
) -> str:
    """Make the model that MLflow shows as the run's output, and log parameters and figures of both; return its id."""
    model_id = sdk.log_model(client, experiment, run_id, name=name, params=parameters)
    sdk.log_figures(client, run_id, metrics=figures, params=parameters, model_id=model_id)
    return model_id


def _log_data_set(client: Any, run_id: str, data: TrainingSet, digest_of_drops: str) -> None:
    sdk.log_data_set(
        client,
        run_id,
        data.frame,
        label=LABEL,
        name=run_page.data_set_name(data),
        digest=run_page.data_set_digest(data),
        facts=run_page.data_set_facts(data, digest_of_drops),
    )


def _check_size(folder: Path) -> None:
    """Refuse a model that could not be served, before a run records it."""
    size = sum((folder / name).stat().st_size for name in files.SERVED)
    if size > files.MOST_SERVED_BYTES:
        raise Refused(
            f"The model's files have {size // 2**20} MiB; a release may have {files.MOST_SERVED_BYTES // 2**20} MiB.",
            hint="Choose a smaller estimator in feature_repo/estimator.py, for example fewer or shallower trees.",
        )


def make_contract(
    model: str,
    repo: FeatureRepo,
    data: TrainingSet,
    fitted: Fitted,
    drops: list[dict[str, str]],
) -> Contract:
    """Build the contract of a fitted model; its `runtime` stays empty until the classifier is compiled.

    Args:
        model: Name of the registered model.
        repo: Feature repo that the training set comes from.
        data: Training set.
        fitted: Pipeline fitted on the training set.
        drops: Id (`drop_id`) and `digest` of each drop that the training could see.
    """
    return Contract(
        model=model,
        feature_service=repo.feature_service_name,
        join_key=repo.join_key,
        features=data.features,
        views=data.views,
        threshold=fitted.threshold.value,
        threshold_rule=fitted.threshold.rule,
        threshold_curve=fitted.threshold.curve,
        calibration=fitted.calibration.method,
        label={**asdict(repo.label), "as_of": data.label_as_of.isoformat()},
        estimator=fitted.estimator,
        as_of=data.as_of.isoformat(),
        known_at=data.known_at.isoformat(),
        fingerprint=data.fingerprint,
        learned_rows=fitted.learned_rows,
        drops=tuple(drop["drop_id"] for drop in drops),
        holdout=holdout.describe(data.y.to_numpy()[fitted.split.holdout], fitted.holdout_probabilities),
        statistics=describe(data.features, data.x.iloc[fitted.split.train]),
    )


def _write_artifacts(
    folder: Path,
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
        run_record.SPLIT_DIGEST: fitted.split.digest,
        "drops": drops,
    }
    (rows / files.FINGERPRINT).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    schema = {"features": [asdict(feature) for feature in contract.features]}
    (folder / files.FEATURE_SCHEMA).write_text(json.dumps(schema, indent=2), encoding="utf-8")
    (folder / files.PACKAGES).write_text(
        json.dumps(dict(packages()), indent=2, sort_keys=True), encoding="utf-8"
    )
    (folder / files.SOURCES).write_text(json.dumps(sources(repo.path), indent=2), encoding="utf-8")
    plots.write(
        folder / files.PLOTS,
        data.y.to_numpy()[fitted.split.holdout],
        fitted.holdout_probabilities,
        contract.threshold,
        importances(fitted.pipeline, data.features),
    )


def _run_record(
    training: TrainingSettings,
    repo: FeatureRepo,
    data: TrainingSet,
    fitted: Fitted,
    contract: Contract,
    drops: list[dict[str, str]],
) -> RunRecord:
    return RunRecord(
        as_of=data.as_of,
        known_at=data.known_at,
        label_as_of=data.label_as_of,
        label_horizon=repo.label.horizon,
        drop_ids=contract.drops,
        drops=len(drops),
        drops_digest=drops_digest(drops),
        feature_service=contract.feature_service,
        estimator=fitted.estimator,
        seed=training.seed,
        holdout_share=training.holdout_share,
        folds=training.folds,
        threads=training.threads,
        forest_rows=training.forest_rows,
        learned_rows=fitted.learned_rows,
        threshold=contract.threshold,
        threshold_rule=contract.threshold_rule,
        calibration=contract.calibration,
        rows=len(data.frame),
        positives=data.positives,
        split_digest=fitted.split.digest,
        hyperparameters=run_record.hyperparameters(fitted.classifier),
    )


def _figures(fitted: Fitted, contract: Contract) -> dict[str, float]:
    return {
        **fitted.metrics,
        "train_seconds": fitted.train_seconds,
        "runtime_largest_difference": float(contract.runtime["largest_difference"]),
        **{f"cv_auc_{name}": value for name, value in fitted.cross_validated.items()},
        **{f"cv_decile_error_{name}": value for name, value in fitted.calibration.errors.items()},
        "threshold": fitted.threshold.value,
    }

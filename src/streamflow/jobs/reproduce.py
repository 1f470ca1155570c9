"""Recipe: make a recorded run again from the data as known then, and say layer by layer whether it is the same."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from streamflow import repo as repos
from streamflow import tracking
from streamflow.contract import Contract
from streamflow.database import transaction
from streamflow.errors import NotFound, StreamFlowError, UsageError
from streamflow.features import training_set
from streamflow.features.fingerprint import fingerprint
from streamflow.repo import FeatureRepo
from streamflow.settings import Settings
from streamflow.snapshots import ledger, views
from streamflow.training import compare, fit
from streamflow.training.compare import Layer
from streamflow.training.lineage import lineage, packages, sources
from streamflow.training.record import MODEL_FOLDER
from streamflow.training.runtime import raw_rows
from streamflow.training_set import LABEL, TrainingSet

_PREFIX = "streamflow."


@dataclass(frozen=True)
class Reproduction:
    """What came of making a run again.

    Attributes:
        run_id: The run.
        verdict: `reproduced`, `differs` or `cannot tell`.
        exit_code: 0, 1 or 4.
        layers: Data, code, environment, result.
        trained_on: `rebuilt`: the training set made anew; `stored`: the one the run kept.
        fingerprint: Fingerprint of the run's training set.
    """

    run_id: str
    verdict: str
    exit_code: int
    layers: tuple[Layer, ...]
    trained_on: str
    fingerprint: str


@dataclass(frozen=True)
class _Run:
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    contract: Contract
    golden: dict[str, Any]
    stored: pd.DataFrame
    drops: list[dict[str, str]]
    packages: dict[str, str] | None
    sources: dict[str, str] | None


def reproduce(settings: Settings, run_id: str) -> Reproduction:
    """Rebuild the training set at the run's as-of and known-at, train again, compare everything.

    Raises:
        NotFound: there is no such run, or it is no finished training.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    run = _read(settings, run_id)
    repo = repos.load(settings).with_horizon(int(run.params["label_horizon"]))
    stored = _stored(run)
    rebuilt, data_layer = _rebuild(settings, repo, run, stored)
    data = rebuilt or stored
    present = _bare(lineage(repo.path))
    code = compare.code(run.tags, present, run.sources, sources(repo.path))
    environment = compare.environment(run.tags, present, run.packages, packages())
    code, result = _retrain(settings, repo, run, data, code)
    layers = (data_layer, code, environment, result)
    exit_code = compare.exit_code(layers)
    return Reproduction(
        run_id=run_id,
        verdict={0: "reproduced", 1: "differs", 4: "cannot tell"}[exit_code],
        exit_code=exit_code,
        layers=layers,
        trained_on="rebuilt" if rebuilt else "stored",
        fingerprint=run.contract.fingerprint,
    )


def _read(settings: Settings, run_id: str) -> _Run:
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-reproduce-") as name,
        tracking.client(settings) as client,
    ):
        run = client.get_run(run_id)
        root = Path(name)

        def text(path: str) -> str | None:
            from mlflow.exceptions import MlflowException

            try:
                return Path(client.download_artifacts(run_id, path, str(root))).read_text(encoding="utf-8")
            except (MlflowException, OSError) as error:
                if "API request to" in str(error) and "404" not in str(error):
                    raise
                return None

        contract, golden = text(f"{MODEL_FOLDER}/contract.json"), text(f"{MODEL_FOLDER}/golden.json")
        facts = text("training_set/fingerprint.json")
        if contract is None or golden is None or facts is None:
            raise NotFound(
                f"Run {run_id} is no finished training: its artifacts are missing.",
                hint="Give the run of a version ('streamflow models show VERSION').",
            )
        frame = pd.read_parquet(
            client.download_artifacts(run_id, "training_set/training_set.parquet", str(root))
        )
        installed, files = text("packages.json"), text("sources.json")
        return _Run(
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
            tags=_bare(run.data.tags),
            contract=Contract.from_json(contract),
            golden=json.loads(golden),
            stored=frame,
            drops=json.loads(facts)["drops"],
            packages=json.loads(installed) if installed else None,
            sources=json.loads(files) if files else None,
        )


def _bare(tags: dict[str, str]) -> dict[str, str]:
    return {key.removeprefix(_PREFIX): value for key, value in tags.items() if key.startswith(_PREFIX)}


def _stored(run: _Run) -> TrainingSet:
    """The training set that the run kept, with the fingerprint that its rows have."""
    contract, frame = run.contract, run.stored
    features = contract.features
    columns = [(contract.join_key, "string"), *((f.name, f.type) for f in features), (LABEL, "bool")]
    values = raw_rows(features, frame[[feature.name for feature in features]])
    rows = [
        (key, *row, bool(label))
        for key, row, label in zip(
            frame[contract.join_key].tolist(), values, frame[LABEL].tolist(), strict=True
        )
    ]
    return TrainingSet(
        frame=frame,
        key=contract.join_key,
        features=features,
        views=contract.views,
        as_of=datetime.fromisoformat(contract.as_of),
        label_as_of=datetime.fromisoformat(run.params["label_as_of"]),
        known_at=datetime.fromisoformat(contract.known_at),
        fingerprint=fingerprint(columns, rows),
        incomplete={},
    )


def _rebuild(
    settings: Settings, repo: FeatureRepo, run: _Run, stored: TrainingSet
) -> tuple[TrainingSet | None, Layer]:
    """The training set made anew when it is the run's own, and the verdict on the data."""
    wanted = run.contract.fingerprint
    lines = _drop_lines(settings, run)
    if stored.fingerprint != wanted:
        lines.append("The training set that the run kept is not the one it was trained on.")
    try:
        with views.frozen(settings, repo, stored.known_at) as schema:
            rebuilt = training_set.build(
                settings,
                repo,
                as_of=stored.as_of,
                label_as_of=stored.label_as_of,
                known_at=stored.known_at,
                db_schema=schema,
            )
    except (NotFound, UsageError) as error:
        return None, Layer("data", "differs", (*lines, f"It cannot be built again: {error.what}"))
    if rebuilt.fingerprint == wanted:
        return rebuilt, Layer("data", "same", (f"{len(rebuilt.frame)} rows, fingerprint {wanted}", *lines))
    lines += compare.rows(stored.key, stored.frame, rebuilt.frame)
    lines.append("Trained on the training set that the run kept instead.")
    return None, Layer("data", "differs", tuple(lines))


def _drop_lines(settings: Settings, run: _Run) -> list[str]:
    with transaction(settings) as connection:
        present = {
            drop.drop_id: drop.digest for drop in ledger.drops(connection, ledger.known_now(connection))
        }
    return [
        f"Drop {drop['drop_id']} is not in the ledger any more."
        for drop in run.drops
        if present.get(drop["drop_id"]) != drop["digest"]
    ]


def _retrain(
    settings: Settings, repo: FeatureRepo, run: _Run, data: TrainingSet, code: Layer
) -> tuple[Layer, Layer]:
    """Train with the run's seed, split and estimator, and compare what comes out."""
    candidates = tuple(name.removeprefix("cv_auc_") for name in run.metrics if name.startswith("cv_auc_"))
    training = settings.training.model_copy(
        update={
            "seed": int(run.params["seed"]),
            "holdout_share": float(run.params["holdout_share"]),
            "folds": int(run.params["folds"]),
            "threshold": float(run.params["threshold"]),
            "estimators": candidates or settings.training.estimators,
        }
    )
    estimator = None if candidates else run.params["estimator"]
    try:
        fitted = fit.fit(
            repo,
            data.features,
            data.x,
            data.y.to_numpy(),
            data.frame[data.key].tolist(),
            training,
            estimator=estimator,
        )
    except StreamFlowError as error:
        return code, Layer("result", "unknown", (f"It cannot be trained again: {error.what}",))
    then = {
        key.removeprefix("estimator."): value
        for key, value in run.params.items()
        if key.startswith("estimator.")
    }
    now = {
        key: value
        for key, value in fitted.pipeline[-1].get_params(deep=True).items()
        if isinstance(value, (str, int, float, bool, type(None)))
    }
    changed = compare.hyperparameters(then, now) if fitted.estimator == run.params["estimator"] else []
    code = replace(code, lines=(*code.lines, *changed))
    figures = {
        **fitted.metrics,
        **{f"cv_auc_{name}": value for name, value in fitted.cross_validated.items()},
    }
    golden = training_set.frame_of(run.contract.features, run.golden["rows"])
    with fit.deterministic():
        again = fitted.pipeline.predict_proba(golden)[:, 1]
    result = compare.result(run.metrics, figures, run.golden["probabilities"], again)
    if fitted.split.digest != run.params["split_digest"]:
        result = replace(result, verdict="differs", lines=("The split is another one.", *result.lines))
    return code, result

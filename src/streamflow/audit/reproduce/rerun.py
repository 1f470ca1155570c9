"""Recipe: make a recorded run again from the data as known then, and say layer by layer whether it is the same."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from streamflow.audit.reproduce import compare
from streamflow.audit.reproduce.compare import Layer
from streamflow.errors import DependencyDown, NotFound, StreamFlowError, UsageError
from streamflow.features import training_set
from streamflow.mlflow_api import sdk as tracking
from streamflow.model_version.contract import Contract, drops_digest
from streamflow.model_version.training_set import TrainingSet
from streamflow.postgres.engine import transaction
from streamflow.registry.versions import MANIFEST_TAG
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings
from streamflow.snapshots import ledger, views
from streamflow.training import fit
from streamflow.training import recorded as kept
from streamflow.training.lineage import lineage, packages, sources
from streamflow.training.package import CONTRACT, GOLDEN, MANIFEST
from streamflow.training.record import MODEL_FOLDER

_PREFIX = "streamflow."


@dataclass(frozen=True)
class Reproduction:
    """What came of making a run again.

    Attributes:
        run_id: The run.
        verdict: `reproduced`, `differs` or `cannot tell`.
        exit_code: 0, 1 or 4.
        layers: Data, code, environment, result.
        trained_on: `rebuilt`: the training set made anew; `stored`: the one the run kept; `nothing`.
        fingerprint: Fingerprint of the run's training set; "" when that cannot be told.
    """

    run_id: str
    verdict: str
    exit_code: int
    layers: tuple[Layer, ...]
    trained_on: str
    fingerprint: str


@dataclass(frozen=True)
class _Run:
    """What a run recorded; None and a sentence in `problems` for what cannot be trusted or read."""

    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    contract: Contract | None
    golden: dict[str, Any] | None
    stored: TrainingSet | None
    drops: list[dict[str, str]] | None
    packages: dict[str, str] | None
    sources: dict[str, str] | None
    problems: dict[str, str]


def reproduce(settings: Settings, run_id: str) -> Reproduction:
    """Rebuild the training set at the run's as-of and known-at, train again, compare everything.

    Raises:
        NotFound: there is no such run, or it is no finished training.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    run = _read(settings, run_id)
    repo = definitions.load(settings.feast.repo).with_horizon(int(run.params["label_horizon"]))
    present = _bare(lineage(repo.path))
    code = compare.code(run.tags, present, run.sources, sources(repo.path))
    environment = compare.environment(run.tags, present, run.packages, packages())
    threads = compare.threads(run.params.get("threads"), settings.training.threads)
    environment = replace(environment, lines=(*environment.lines, *threads))
    data: TrainingSet | None = None
    if run.contract is None:
        unknown = (run.problems["contract.json"],)
        data_layer, result = Layer("data", "unknown", unknown), Layer("result", "unknown", unknown)
        rebuilt = None
    else:
        rebuilt, data_layer = _rebuild(settings, repo, run, run.contract)
        data = rebuilt or run.stored
        code, result = _retrain(settings, repo, run, run.contract, data, code)
    layers = (data_layer, code, environment, result)
    exit_code = compare.exit_code(layers)
    return Reproduction(
        run_id=run_id,
        verdict={0: "reproduced", 1: "differs", 4: "cannot tell"}[exit_code],
        exit_code=exit_code,
        layers=layers,
        trained_on="nothing" if data is None else "rebuilt" if rebuilt else "stored",
        fingerprint=run.contract.fingerprint if run.contract else "",
    )


def cannot_tell(run_id: str, *why: str) -> Reproduction:
    """The verdict when the attempt itself failed. Pure."""
    layers = tuple(Layer(name, "unknown", why) for name in ("data", "code", "environment", "result"))
    return Reproduction(run_id, "cannot tell", compare.exit_code(layers), layers, "nothing", "")


def _read(settings: Settings, run_id: str) -> _Run:
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-reproduce-") as name,
        tracking.client(settings) as client,
    ):
        run = client.get_run(run_id)

        def fetch(path: str) -> str:
            return str(client.download_artifacts(run_id, path, name))

        pins = {
            item.tags.get(MANIFEST_TAG, "") for item in client.search_model_versions(f"run_id = '{run_id}'")
        }
        files = {file: kept.content(fetch, f"{MODEL_FOLDER}/{file}") for file in (MANIFEST, CONTRACT, GOLDEN)}
        if files[MANIFEST] is None or not {"label_horizon", "split_digest"} <= set(run.data.params):
            raise NotFound(
                f"Run {run_id} is no finished training: its artifacts are missing.",
                hint="Give the run of a version ('streamflow models show VERSION').",
            )
        problems: dict[str, str] = {}
        trusted = _trusted(files, pins, problems)
        contract = Contract.from_json(trusted[CONTRACT].decode()) if CONTRACT in trusted else None
        stored = None
        if contract is not None:
            try:
                stored = _stored(run.data.params, contract, kept.rows(fetch, contract))
            except kept.NotKeptError as error:
                problems[kept.ROWS] = error.what
        facts = _document(kept.content(fetch, f"{kept.FOLDER}/fingerprint.json"))
        return _Run(
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
            tags=_bare(run.data.tags),
            contract=contract,
            golden=json.loads(trusted[GOLDEN]) if GOLDEN in trusted else None,
            stored=stored,
            drops=_drops(facts, run.data.params.get("drops_digest")),
            packages=_document(kept.content(fetch, "packages.json")),
            sources=_document(kept.content(fetch, "sources.json")),
            problems=problems,
        )


def _trusted(files: Mapping[str, bytes | None], pins: set[str], problems: dict[str, str]) -> dict[str, bytes]:
    """Those files of the model that are what the manifest says; the others get a sentence in `problems`. Pure."""
    manifest = files[MANIFEST] or b""
    listed = (_document(manifest) or {}).get("files")
    digests: dict[str, str] = listed if isinstance(listed, dict) else {}
    registered = not pins or hashlib.sha256(manifest).hexdigest() in pins
    trusted = {}
    for name in (CONTRACT, GOLDEN):
        content = files[name]
        if not registered or not digests:
            problems[name] = f"{MANIFEST} is not the one that was recorded, so {name} cannot be trusted."
        elif content is None:
            problems[name] = f"{name} is missing."
        elif hashlib.sha256(content).hexdigest() != digests.get(name):
            problems[name] = f"{name} is not the one that was recorded: its digest is another one."
        else:
            trusted[name] = content
    return trusted


def _document(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _drops(facts: dict[str, Any] | None, digest: str | None) -> list[dict[str, str]] | None:
    """The run's drops; None when they are not readable, or not those it recorded."""
    found = (facts or {}).get("drops")
    if not isinstance(found, list) or not all({"drop_id", "digest"} <= set(item) for item in found):
        return None
    return found if digest in (None, drops_digest(found)) else None


def _bare(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(_PREFIX): value for key, value in tags.items() if key.startswith(_PREFIX)}


def _stored(params: Mapping[str, str], contract: Contract, frame: pd.DataFrame) -> TrainingSet:
    return TrainingSet(
        frame=frame,
        key=contract.join_key,
        features=contract.features,
        views=contract.views,
        as_of=datetime.fromisoformat(contract.as_of),
        label_as_of=datetime.fromisoformat(params["label_as_of"]),
        known_at=datetime.fromisoformat(contract.known_at),
        fingerprint=contract.fingerprint,
        incomplete={},
    )


def _rebuild(
    settings: Settings, repo: FeatureRepo, run: _Run, contract: Contract
) -> tuple[TrainingSet | None, Layer]:
    """The training set made anew when it is the run's own, and the verdict on the data."""
    wanted, stored = contract.fingerprint, run.stored
    lines = _drop_lines(settings, run)
    if kept.ROWS in run.problems:
        lines.append(f"The training set that the run kept is of no use: {run.problems[kept.ROWS]}.")
    try:
        with views.frozen(settings, repo, datetime.fromisoformat(contract.known_at)) as schema:
            rebuilt = training_set.build(
                settings,
                repo,
                as_of=datetime.fromisoformat(contract.as_of),
                label_as_of=datetime.fromisoformat(run.params["label_as_of"]),
                known_at=datetime.fromisoformat(contract.known_at),
                db_schema=schema,
            )
    except DependencyDown:
        raise
    except (NotFound, UsageError) as error:
        return None, Layer("data", "differs", (*lines, f"It cannot be built again: {error.what}"))
    except Exception as error:
        return None, Layer("data", "unknown", (*lines, f"It cannot be built again: {in_words(error)}"))
    if rebuilt.fingerprint == wanted:
        return rebuilt, Layer("data", "same", (f"{len(rebuilt.frame)} rows, fingerprint {wanted}", *lines))
    if stored is None:
        lines.append(f"Built again, its fingerprint is {rebuilt.fingerprint}, not {wanted}.")
    else:
        lines += compare.rows(stored.key, stored.frame, rebuilt.frame)
        lines.append("Trained on the training set that the run kept instead.")
    return None, Layer("data", "differs", tuple(lines))


def _drop_lines(settings: Settings, run: _Run) -> list[str]:
    if run.drops is None:
        return ["The run's list of drops cannot be read, or is not the one it recorded."]
    with transaction(settings) as connection:
        present = {
            drop.drop_id: drop.digest for drop in ledger.drops(connection, ledger.known_now(connection))
        }
    return [
        f"Drop {drop['drop_id']} is not in the ledger any more."
        for drop in run.drops
        if present.get(drop["drop_id"]) != drop["digest"]
    ]


def in_words(error: Exception) -> str:
    """An error in one line. Pure."""
    if isinstance(error, StreamFlowError):
        return error.what
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0][:300]}" if first else type(error).__name__


def _retrain(
    settings: Settings,
    repo: FeatureRepo,
    run: _Run,
    contract: Contract,
    data: TrainingSet | None,
    code: Layer,
) -> tuple[Layer, Layer]:
    """Train with the run's seed, split and estimator, and compare what comes out."""
    if data is None:
        why = "Neither the database nor the run has the rows that it was trained on."
        return code, Layer("result", "unknown", (why,))
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
    except Exception as error:
        # An estimator of today's feature repo may raise whatever it likes.
        return code, Layer("result", "unknown", (f"It cannot be trained again: {in_words(error)}",))
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
    result = _compared(run, contract, fitted.pipeline, figures)
    if fitted.split.digest != run.params["split_digest"]:
        result = replace(result, verdict="differs", lines=("The split is another one.", *result.lines))
    return code, result


def _compared(run: _Run, contract: Contract, pipeline: Any, figures: dict[str, float]) -> Layer:
    """Figures and golden rows; without golden rows, equal figures alone do not say that it is the same."""
    if run.golden is None:
        result = compare.result(run.metrics, figures, [], np.array([]))
        told = f"{run.problems[GOLDEN]} No predictions were compared."
        if result.verdict == "same":
            return Layer("result", "unknown", (told, f"{len(figures)} figures are equal to the last bit"))
        return replace(result, lines=(*result.lines, told))
    golden = training_set.frame_of(contract.features, run.golden["rows"])
    with fit.deterministic():
        again = pipeline.predict_proba(golden)[:, 1]
    return compare.result(run.metrics, figures, run.golden["probabilities"], again)

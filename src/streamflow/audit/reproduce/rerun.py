"""Recipe: repeat a recorded run on the data as known then, and say layer by layer whether the result is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import numpy as np

from streamflow.audit.reproduce import compare, recorded_run, without_months
from streamflow.audit.reproduce.compare import Layer
from streamflow.audit.reproduce.recorded_run import RecordedRun
from streamflow.drops import ledger
from streamflow.erasure import acts, months
from streamflow.erasure.months import Forgotten
from streamflow.erasure.runs import left_of
from streamflow.errors import DependencyDown, NotFound, StreamFlowError, UsageError
from streamflow.features import training_set
from streamflow.model_version import files, tags
from streamflow.model_version.contract import Contract
from streamflow.model_version.run_record import hyperparameters
from streamflow.model_version.training_set import TrainingSet
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Backends, BuildSettings, DatabaseSettings, TrainingSettings
from streamflow.snapshots import views
from streamflow.training import fit
from streamflow.training.lineage import lineage, packages, sources
from streamflow.training.stored import fingerprint_of

_VERDICTS = {0: "reproduced", 1: "differs", 4: "cannot tell"}


@dataclass(frozen=True)
class Reproduction:
    """The outcome of repeating a run.

    Attributes:
        run_id: The run.
        verdict: `reproduced`, `reproduced without N erased rows`, `differs` or `cannot tell`.
        exit_code: 0, 1 or 4.
        layers: Data, code, environment, result.
        trained_on: `rebuilt` (the training set built again), `stored` (the one that the run stored) or `nothing`.
        fingerprint: Fingerprint of the run's training set; "" when it is not known.
    """

    run_id: str
    verdict: str
    exit_code: int
    layers: tuple[Layer, ...]
    trained_on: str
    fingerprint: str


class Rebuild(Protocol):
    """Builds the training set of a recorded run again."""

    def __call__(
        self, repo: FeatureRepo, *, as_of: datetime, label_as_of: datetime, known_at: datetime
    ) -> TrainingSet:
        """Build it."""


def _with_postgresql(
    database: DatabaseSettings,
    repo: FeatureRepo,
    *,
    as_of: datetime,
    label_as_of: datetime,
    known_at: datetime,
) -> TrainingSet:
    with views.frozen(database, repo, known_at) as schema:
        return training_set.build(
            database, repo, as_of=as_of, label_as_of=label_as_of, known_at=known_at, db_schema=schema
        )


def reproduce(
    backends: Backends,
    training: TrainingSettings,
    build: BuildSettings,
    run_id: str,
    rebuild: Rebuild | None = None,
) -> Reproduction:
    """Rebuild the training set at the run's as-of and known-at, train again, compare everything.

    Args:
        backends: PostgreSQL, MLflow and the feature repo.
        training: Number of threads; all else is the run's.
        build: The commit of the code.
        run_id: The run.
        rebuild: What builds the training set; by default PostgreSQL.

    Raises:
        NotFound: There is no such run, or it is not a finished training.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    with transaction(backends.database) as connection:
        left, gone = left_of(connection, run_id), months.forgotten(connection)
    run = recorded_run.read(backends.mlflow, run_id, left)
    repo = definitions.load(backends.feast.repo).with_horizon(run.record.label_horizon)
    present = tags.own(lineage(repo.path, build))
    code = compare.code(run.tags, present, run.sources, sources(repo.path))
    environment = compare.environment(run.tags, present, run.packages, packages())
    threads = compare.threads(run.record.threads, training.threads)
    environment = replace(environment, lines=(*environment.lines, *threads))
    data: TrainingSet | None = None
    rebuilt: TrainingSet | None = None
    if run.contract is None:
        unknown = (run.problems[files.CONTRACT],)
        data_layer, result = Layer("data", "unknown", unknown), Layer("result", "unknown", unknown)
    else:
        rebuilt, data_layer = _rebuilt(
            backends.database,
            rebuild or partial(_with_postgresql, backends.database),
            repo,
            run,
            run.contract,
            gone,
        )
        data = rebuilt or run.stored
        changed, result = _retrain(training, repo, run, run.contract, data)
        code = replace(code, lines=(*code.lines, *changed))
    layers = (data_layer, code, environment, result)
    exit_code = compare.exit_code(layers)
    return Reproduction(
        run_id=run_id,
        verdict=_VERDICTS[exit_code]
        + (f" without {left.rows} erased rows" if left and exit_code == 0 else ""),
        exit_code=exit_code,
        layers=layers,
        trained_on="nothing" if data is None else "rebuilt" if rebuilt else "stored",
        fingerprint=run.contract.fingerprint if run.contract else "",
    )


def cannot_tell(run_id: str, *why: str) -> Reproduction:
    """The outcome when the attempt itself failed. Pure."""
    layers = tuple(Layer(name, "unknown", why) for name in ("data", "code", "environment", "result"))
    return Reproduction(run_id, "cannot tell", compare.exit_code(layers), layers, "nothing", "")


def in_words(error: Exception) -> str:
    """An error in one line. Pure."""
    if isinstance(error, StreamFlowError):
        return error.what
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _rebuilt(
    database: DatabaseSettings,
    rebuild: Rebuild,
    repo: FeatureRepo,
    run: RecordedRun,
    contract: Contract,
    gone: Forgotten | None,
) -> tuple[TrainingSet | None, Layer]:
    """The training set built again when it equals the run's own, and the verdict on the data."""
    wanted, stored = run.left.fingerprint if run.left else contract.fingerprint, run.stored
    lines = _drop_lines(database, run)
    if files.ROWS in run.problems and not (gone and without_months.is_gone(contract, gone)):
        lines.append(f"The training set that the run stored cannot be used: {run.problems[files.ROWS]}.")
    try:
        rebuilt = rebuild(
            repo,
            as_of=datetime.fromisoformat(contract.as_of),
            label_as_of=run.record.label_as_of,
            known_at=datetime.fromisoformat(contract.known_at),
        )
    except DependencyDown:
        raise
    except Exception as error:
        # The feature repo of today may raise anything.
        if gone and without_months.is_gone(contract, gone):
            return None, Layer("data", "unknown", (*lines, f"Cannot tell: {gone.words}."))
        told = (*lines, f"It cannot be built again: {in_words(error)}")
        return None, Layer("data", "differs" if isinstance(error, NotFound | UsageError) else "unknown", told)
    if rebuilt.fingerprint == wanted:
        return rebuilt, Layer(
            "data", "same", (f"{len(rebuilt.frame)} rows, fingerprint {wanted}", *lines, *_erased(run))
        )
    why = without_months.explained(gone, contract, stored, rebuilt) if gone else ""
    if why := why or _unfinished(database, run, rebuilt):
        return None, Layer("data", "unknown", (*lines, why))
    if stored is None:
        lines.append(f"Built again, its fingerprint is {rebuilt.fingerprint}, not {wanted}.")
    else:
        lines += compare.rows(stored.key, stored.frame, rebuilt.frame)
        lines.append("Trained on the training set that the run stored instead.")
    return None, Layer("data", "differs", tuple(lines))


def _erased(run: RecordedRun) -> tuple[str, ...]:
    if run.left is None or run.contract is None:
        return ()
    return (f"{run.left.rows} rows were erased; with them its fingerprint was {run.contract.fingerprint}",)


def _unfinished(database: DatabaseSettings, run: RecordedRun, rebuilt: TrainingSet) -> str:
    """Why other rows than the run's are no sign of tampering; "" if erasures do not explain them."""
    if not acts.unfinished(database) or run.contract is None:
        return ""
    again = "run 'streamflow erase' again to complete it, then reproduce the run"
    if run.stored is None:
        return f"An erasure is not complete: {again}."
    frame, now = run.stored.frame, set(rebuilt.frame[rebuilt.key])
    kept = frame[frame[run.stored.key].isin(now)]
    if fingerprint_of(run.contract, kept) != rebuilt.fingerprint:
        return ""
    return f"{len(frame) - len(kept)} rows are missing, and an erasure is not complete: {again}."


def _drop_lines(database: DatabaseSettings, run: RecordedRun) -> list[str]:
    """Which of the run's drops the ledger does not have, one line each."""
    if run.drops is None:
        return ["The run's list of drops cannot be read, or is not the one that it recorded."]
    with transaction(database) as connection:
        present = {
            drop.drop_id: drop.digest for drop in ledger.entries(connection, clock.known_now(connection))
        }
    return [
        f"Drop {drop['drop_id']} is not in the ledger any more."
        for drop in run.drops
        if present.get(drop["drop_id"]) != drop["digest"]
    ]


def _retrain(
    training: TrainingSettings,
    repo: FeatureRepo,
    run: RecordedRun,
    contract: Contract,
    data: TrainingSet | None,
) -> tuple[list[str], Layer]:
    """Train with the run's seed, split and estimator.

    Returns:
        The hyperparameters that changed, one line each, and the verdict on the result.
    """
    if data is None:
        why = "Neither the database nor the run has the rows that it was trained on."
        return [], Layer("result", "unknown", (why,))
    candidates = tuple(name.removeprefix("cv_auc_") for name in run.metrics if name.startswith("cv_auc_"))
    then = training.model_copy(
        update={
            "seed": run.record.seed,
            "holdout_share": run.record.holdout_share,
            "folds": run.record.folds,
            "forest_rows": run.record.forest_rows,
            "threshold": run.record.threshold_rule,
            "calibration": run.record.calibration,
            "estimators": candidates or training.estimators,
        }
    )
    try:
        fitted = fit.fit(
            repo,
            data.features,
            data.x,
            data.y.to_numpy(),
            data.frame[data.key],
            then,
            estimator=None if candidates else run.record.estimator,
        )
    except Exception as error:
        # An estimator of today's feature repo may raise anything.
        return [], Layer("result", "unknown", (f"It cannot be trained again: {in_words(error)}",))
    changed = (
        compare.hyperparameters(run.record.hyperparameters, hyperparameters(fitted.classifier))
        if fitted.estimator == run.record.estimator
        else []
    )
    metrics = {
        **fitted.metrics,
        **{f"cv_auc_{name}": value for name, value in fitted.cross_validated.items()},
    }
    if run.left is not None:
        share = run.record.holdout_share
        positives = round(run.record.positives * share)
        negatives = round(run.record.rows * share) - positives
        return changed, compare.without_erased(run.metrics, metrics, positives, negatives)
    result = _compared(run, contract, fitted.pipeline, metrics)
    if fitted.split.digest != run.record.split_digest:
        result = replace(result, verdict="differs", lines=("The split differs.", *result.lines))
    return changed, result


def _compared(run: RecordedRun, contract: Contract, pipeline: Any, metrics: dict[str, float]) -> Layer:
    """The verdict on metrics and golden rows; equal metrics alone do not prove that the model is the same."""
    if run.golden is None:
        result = compare.result(run.metrics, metrics, [], np.array([]))
        reason = f"{run.problems[files.GOLDEN]} No predictions were compared."
        if result.verdict == "same":
            return Layer("result", "unknown", (reason, f"{len(metrics)} figures are equal to the last bit"))
        return replace(result, lines=(*result.lines, reason))
    golden = training_set.frame_of(contract.features, run.golden["rows"])
    with fit.deterministic():
        again = pipeline.predict_proba(golden)[:, 1]
    return compare.result(run.metrics, metrics, run.golden["probabilities"], again)

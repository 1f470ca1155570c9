"""Gather the facts about a challenger and its champion, from MLflow, the snapshots and the online store."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from streamflow.eligibility import Columns, Rules
from streamflow.erasure.runs import left_of
from streamflow.errors import NotFound, Refused, ReleaseRefused, StreamFlowError, UsageError
from streamflow.features import training_set
from streamflow.gate import bootstrap, figures, slices
from streamflow.gate.facts import Compared, Facts
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version.contract import Contract, Feature
from streamflow.model_version.run_record import RunRecord
from streamflow.model_version.training_set import LABEL
from streamflow.postgres.engine import transaction
from streamflow.registry import artifacts, online_schema, releases, versions
from streamflow.registry.versions import Version
from streamflow.release import Release
from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Backends, DatabaseSettings, MlflowSettings
from streamflow.snapshots import views
from streamflow.training import stored
from streamflow.training.evaluate import calibration_error, calibration_interval
from streamflow.training.runtime import raw_rows
from streamflow.training.stored import NotStoredError, StoredRows

Floats = npt.NDArray[np.float64]
_TIMED_ANSWERS = 300


@dataclass(frozen=True)
class _Judged:
    """A version, loaded as the predict service loads it."""

    version: Version
    release: Release

    @property
    def contract(self) -> Contract:
        return self.release.contract

    def probabilities(self, frame: pd.DataFrame) -> Floats:
        return self.release.probabilities(self.rows(frame))

    def rows(self, frame: pd.DataFrame) -> list[list[Any]]:
        features = self.contract.features
        return raw_rows(features, frame[[feature.name for feature in features]])


@dataclass(frozen=True)
class _Champion:
    """The version in production, as far as it can be judged.

    Attributes:
        judged: The version; None when it cannot be compared.
        contract: Its contract; None when that is not known.
        trained_on: Keys of the holdout whose label it has learnt.
        why: Why it cannot be compared; "" when it can, or nothing is in production.
    """

    judged: _Judged | None = None
    contract: Contract | None = None
    trained_on: set[str] = field(default_factory=set)
    why: str = ""

    @property
    def as_of(self) -> datetime | None:
        """Date of its training set; None when that is not known."""
        return datetime.fromisoformat(self.contract.as_of) if self.contract else None


@dataclass(frozen=True)
class _Archive:
    """What MLflow stores of the versions.

    Attributes:
        mlflow: Where MLflow is, and the registered model.
        database: Where the digests of what was trained, and of what was refused, are.
        client: Client that fetches the files of a version.
        runs: Client of MLflow's SDK, which reads runs.
        folder: Folder that files are downloaded to.
    """

    mlflow: MlflowSettings
    database: DatabaseSettings
    client: RegistryClient
    runs: Any
    folder: Path

    def load(self, version: Version) -> _Judged:
        """A version with every file verified."""
        model = self.mlflow.registered_model
        return _Judged(version, artifacts.checked(self.database, self.client, model, version).release)

    def training_set(self, judged: _Judged) -> StoredRows:
        """A version's training set and its split, checked against its contract and its run."""
        version = judged.version
        target = self.folder / str(version.version)
        target.mkdir(exist_ok=True)
        # From PostgreSQL and not from the run: in MLflow, somebody could name another run, with a holdout of their own.
        with transaction(self.database) as connection:
            digest = releases.split_digest(connection, judged.release.pointer)
            left = left_of(connection, version.run_id)
        if not digest:
            digest = self._digest_of_run(version)
        return stored.rows_and_split(
            lambda path: str(self.runs.download_artifacts(version.run_id, path, str(target))),
            judged.contract,
            digest,
            left,
        )

    def _digest_of_run(self, version: Version) -> str:
        """Digest of the split as the run recorded it, for models that were trained before PostgreSQL had it."""
        parameters = self.runs.get_run(version.run_id).data.params
        try:
            return RunRecord.from_parameters(parameters).split_digest
        except ValueError as error:
            raise NotStoredError(f"its run is not a training of StreamFlow: {error}") from error

    def trained_on(self, champion: _Judged, challenger: _Judged) -> set[str]:
        """Keys whose label the champion has learnt: its training rows, when both have labels of one date."""
        if champion.contract.label["as_of"] != challenger.contract.label["as_of"]:
            return set()
        learnt = self.training_set(champion)
        return set(learnt.frame.loc[~learnt.holdout, champion.contract.join_key])

    def champion(self, number: int | None, challenger: _Judged) -> _Champion:
        """The version in production, and the rows that it may not be judged on."""
        if number is None:
            return _Champion()
        try:
            judged = self.load(versions.get(self.mlflow, number))
        except (ReleaseRefused, NotFound) as error:
            return _Champion(why=error.what)
        try:
            return _Champion(judged, judged.contract, self.trained_on(judged, challenger))
        except NotStoredError as error:
            unknown = f"which of its rows version {number} was trained on is not known"
            return _Champion(contract=judged.contract, why=f"{unknown}: {error.what}")


@contextlib.contextmanager
def _archive(mlflow: MlflowSettings, database: DatabaseSettings) -> Iterator[_Archive]:
    with (
        sdk.client(mlflow) as runs,
        registry(mlflow) as client,
        tempfile.TemporaryDirectory(prefix="streamflow-gate-") as folder,
    ):
        yield _Archive(mlflow, database, client, runs, Path(folder))


def gather(backends: Backends, target: Version, champion_number: int | None) -> Facts:
    """Everything that the rules look at.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        target: The challenger.
        champion_number: The version in production; None when there is none.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    repo = definitions.load(backends.feast.repo)
    with _archive(backends.mlflow, backends.database) as archive:
        try:
            challenger = archive.load(target)
        except ReleaseRefused as error:
            return _refused(target, champion_number, error.what)
        try:
            own = archive.training_set(challenger)
        except NotStoredError as error:
            return _refused(target, champion_number, f"it cannot be judged: {error.what}")
        champion = archive.champion(champion_number, challenger)
    contract = challenger.contract
    holdout = own.frame[own.holdout].set_index(contract.join_key, drop=False)
    labels = holdout[LABEL].to_numpy(dtype=bool)
    scores = challenger.probabilities(holdout)
    scored = pd.DataFrame({"label": labels, "challenger": scores}, index=holdout.index)
    with _snapshots(backends, repo, datetime.fromisoformat(contract.known_at)) as schema:
        parts = _parts(backends, repo, schema, contract, [str(key) for key in holdout.index])
        source = _Source(backends.database, repo, schema, contract)
        champion_scores, why = _champion_scores(source, champion, holdout)
    compared: Compared | None = None
    if champion_scores is not None:
        scored["champion"] = champion_scores
        compared, why = figures.compare(scored, champion.trained_on)
        scored.loc[scored.index.isin(champion.trained_on), "champion"] = np.nan
    whole = bootstrap.auc_interval(labels, scores)
    return Facts(
        version=target.version,
        champion=champion_number,
        refused="",
        holdout_auc=(whole.estimate, whole.low, whole.high),
        holdout_calibration=(calibration_error(labels, scores), *calibration_interval(labels, scores)),
        compared=compared,
        not_compared=why,
        as_of=datetime.fromisoformat(contract.as_of),
        champion_as_of=champion.as_of,
        slices=figures.slices(scored, parts),
        online=online_schema.columns(backends.database, contract),
        contract=contract,
        latency_p99_ms=_latency(challenger, holdout),
        new_drops=_new_drops(contract, champion.contract),
        same_data=champion.contract is not None and champion.contract.fingerprint == contract.fingerprint,
    )


def _snapshots(
    backends: Backends, repo: FeatureRepo, known_at: datetime
) -> contextlib.AbstractContextManager[str]:
    """The schema of the rows as known at a time; "" if they are in the lake."""
    return contextlib.nullcontext("") if backends.lake else views.frozen(backends.database, repo, known_at)


def _parts(
    backends: Backends, repo: FeatureRepo, schema: str, contract: Contract, entities: Collection[str]
) -> dict[str, dict[str, str]]:
    as_of = datetime.fromisoformat(contract.as_of)
    known_at = datetime.fromisoformat(contract.known_at)
    with transaction(backends.database) as connection:
        if backends.lake:
            return slices.read_lake(connection, repo, backends.lake, as_of, known_at)
        return slices.read(connection, repo, schema, as_of, entities)


def _new_drops(challenger: Contract, champion: Contract | None) -> tuple[str, ...]:
    """Drops that the challenger's training could see and the champion's could not, in the challenger's order."""
    seen = set(champion.drops) if champion else set(challenger.drops)
    return tuple(drop for drop in challenger.drops if drop not in seen)


def _refused(target: Version, champion: int | None, why: str) -> Facts:
    return Facts(
        version=target.version,
        champion=champion,
        refused=why,
        holdout_auc=None,
        holdout_calibration=None,
        compared=None,
        not_compared=why,
        as_of=None,
        champion_as_of=None,
        slices=(),
        online={},
        contract=None,
        latency_p99_ms=None,
    )


@dataclass(frozen=True)
class _Source:
    """Where the challenger's holdout comes from.

    Attributes:
        database: How to connect to PostgreSQL.
        repo: The feature repo.
        schema: Schema of the snapshot views as known at the challenger's known-at; "" if the rows are in the lake.
        contract: The challenger's contract.
    """

    database: DatabaseSettings
    repo: FeatureRepo
    schema: str
    contract: Contract


def _champion_scores(
    source: _Source, champion: _Champion, holdout: pd.DataFrame
) -> tuple[pd.Series | None, str]:
    """The champion's scores of the rows of the holdout that it would answer, or None and why there are none."""
    if champion.judged is None:
        return None, champion.why
    try:
        rows = _champion_rows(source, champion.judged.contract, holdout)
    except StreamFlowError as error:
        return None, error.what
    return pd.Series(champion.judged.probabilities(rows), index=rows.index), ""


def _champion_rows(source: _Source, champion: Contract, holdout: pd.DataFrame) -> pd.DataFrame:
    """The holdout's rows with the features that the champion takes, without rows that it would refuse."""
    contract = source.contract
    present = {(f.name, f.view, f.type) for f in contract.features}
    if all((f.name, f.view, f.type) in present for f in champion.features):
        frame = holdout
    else:
        names = {f"{view.name}:{field.name}" for view in source.repo.feature_views for field in view.features}
        missing = sorted(f"{f.view}:{f.name}" for f in champion.features if f"{f.view}:{f.name}" not in names)
        if missing:
            raise UsageError(f"The feature repo does not have what the champion takes: {', '.join(missing)}.")
        if not source.schema:
            raise Refused(
                "The champion takes features that the challenger was not trained on, and their rows are in the lake."
            )
        built = training_set.build(
            source.database,
            source.repo,
            as_of=datetime.fromisoformat(contract.as_of),
            label_as_of=datetime.fromisoformat(contract.label["as_of"]),
            known_at=datetime.fromisoformat(contract.known_at),
            db_schema=source.schema,
            schema=(champion.features, champion.views),
        )
        frame = built.frame.set_index(built.key, drop=False)
        frame = frame[frame.index.isin(holdout.index)]
    values = [_values(frame[feature.name], feature) for feature in champion.features]
    absent = [frame[feature.name].isna().to_numpy() for feature in champion.features]
    lacking = Rules(champion.features, champion.views).lacking_columns(Columns(values, absent, ()))
    served = ~np.logical_or.reduce(lacking)
    for feature in champion.features:
        if feature.type == "string":
            served &= frame[feature.name].isin(feature.categories).to_numpy()
    rows: pd.DataFrame = frame[served]
    return rows


def _values(column: pd.Series, feature: Feature) -> npt.NDArray[Any]:
    return column.to_numpy(dtype=np.float64) if feature.type == "float" else column.to_numpy()


def _latency(judged: _Judged, frame: pd.DataFrame) -> float:
    """99th percentile of single answers of the model, in milliseconds of CPU.

    Not of the wall clock: what else runs on the machine must not decide about the model.
    """
    rows = judged.rows(frame.head(_TIMED_ANSWERS))
    judged.release.probabilities(rows[:1])
    times = []
    for i in range(_TIMED_ANSWERS):
        started = time.thread_time()
        judged.release.probabilities([rows[i % len(rows)]])
        times.append(time.thread_time() - started)
    return float(np.quantile(times, 0.99) * 1000)

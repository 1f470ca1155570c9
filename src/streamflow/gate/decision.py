"""Recipe: gather the facts about a version and judge it against the one in production; keep the report on it."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from streamflow.errors import NotFound, Refused, ReleaseRefused, StreamFlowError, UsageError
from streamflow.features import training_set
from streamflow.gate import bootstrap, rules
from streamflow.gate import figures as gate_figures
from streamflow.gate import report as gate_page
from streamflow.gate import slices as slice_reader
from streamflow.gate.rules import Facts, Rule
from streamflow.mlflow_api import sdk as tracking
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION
from streamflow.model_version.contract import Contract
from streamflow.model_version.training_set import LABEL
from streamflow.postgres.engine import transaction
from streamflow.registry import artifacts, versions
from streamflow.registry.online_schema import columns as online_columns
from streamflow.registry.versions import Version
from streamflow.release import Release
from streamflow.repo import definitions as repos
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import Settings
from streamflow.snapshots import views
from streamflow.training import recorded as kept
from streamflow.training.recorded import Kept, NotKeptError
from streamflow.training.runtime import raw_rows

Floats = npt.NDArray[np.float64]
FOLDER = "gate"
VERDICT_TAG = "streamflow.gate"
REPORT_TAG = "streamflow.gate_report"
_TIMED_ANSWERS = 300


@dataclass(frozen=True)
class GateReport:
    """What the gate says about a version.

    Attributes:
        model: Registered model; version: the one that is judged.
        champion: The one it was judged against; None when nothing is in production.
        verdict: `passed` or `failed`.
        judged_at: When, ISO 8601.
        rules: Every rule with its reason.
        facts: What the rules looked at.
        limits: The settings they used.
        artifact: Where the report is kept, below the version's run.
    """

    model: str
    version: int
    champion: int | None
    verdict: str
    judged_at: str
    rules: tuple[Rule, ...]
    facts: dict[str, Any]
    limits: dict[str, Any]
    artifact: str

    @property
    def text(self) -> str:
        """The report as it is kept: JSON."""
        return json.dumps(asdict(self), indent=2)

    @property
    def sha256(self) -> str:
        """Digest of the kept report; the history has it too."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def passed(self) -> bool:
        """Whether every rule passed."""
        return self.verdict == "passed"

    @property
    def failures(self) -> tuple[str, ...]:
        """Reasons of the rules that failed."""
        return tuple(f"{rule.name}: {rule.reason}" for rule in self.rules if not rule.passed)


@dataclass(frozen=True)
class _Judged:
    """A version, loaded as the predict service loads it."""

    version: Version
    release: Release

    @property
    def contract(self) -> Contract:
        return self.release.contract


def gate(settings: Settings, version: int) -> GateReport:
    """Judge a version against the one in production, and keep the report on its run.

    Raises:
        NotFound: there is no such version.
        Refused: it is in production itself.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    target = versions.get(settings, version)
    champion = versions.by_alias(settings, PRODUCTION)
    if champion == version:
        raise Refused(
            f"Version {version} is in production itself; there is nothing to judge it against.",
            hint="'streamflow models show production' shows its last report.",
        )
    facts = gather(settings, target, champion)
    judged = rules.judge(facts, settings.promotion)
    verdict = "passed" if all(rule.passed for rule in judged) else "failed"
    against = f"against-{facts.champion}" if facts.champion is not None else "first"
    now = datetime.now(UTC)
    report = GateReport(
        model=settings.mlflow.registered_model,
        version=version,
        champion=facts.champion,
        verdict=verdict,
        judged_at=now.isoformat(timespec="seconds"),
        rules=judged,
        facts=_told(facts),
        limits=settings.promotion.model_dump(),
        # Judged again, it gets another report: the history names this one.
        artifact=f"{FOLDER}/version-{version}-{against}-{now:%Y%m%dT%H%M%S.%fZ}",
    )
    _keep(settings, target, report)
    return report


def gather(settings: Settings, target: Version, champion_number: int | None) -> Facts:
    """Everything that the rules look at."""
    repo = repos.load(settings)
    with (
        tracking.client(settings) as client,
        registry(settings) as files,
        tempfile.TemporaryDirectory(prefix="streamflow-gate-") as name,
    ):
        folder = Path(name)
        try:
            challenger = _Judged(target, artifacts.verified_release(files, settings, target))
        except ReleaseRefused as error:
            return _refused(target, champion_number, error.what)
        try:
            own = _rows(client, folder, challenger)
        except NotKeptError as error:
            return _refused(target, champion_number, f"it cannot be judged: {error.what}")
        champion, champion_as_of, why = None, None, ""
        trained_on: set[str] = set()
        if champion_number is not None:
            try:
                held = versions.get(settings, champion_number)
                beside = _Judged(held, artifacts.verified_release(files, settings, held))
                champion_as_of = datetime.fromisoformat(beside.contract.as_of)
                trained_on = _trained_on(client, folder, beside, challenger)
                champion = beside
            except (ReleaseRefused, NotFound) as error:
                why = error.what
            except NotKeptError as error:
                why = f"which of its rows version {champion_number} was trained on is not known: {error.what}"
    contract = challenger.contract
    holdout = own.frame[own.holdout].set_index(contract.join_key, drop=False)
    scores = _score(challenger, holdout)
    with views.frozen(settings, repo, datetime.fromisoformat(contract.known_at)) as schema:
        parts = _parts(settings, repo, schema, contract)
        seen = None
        if champion is not None:
            try:
                seen = _champions_view(settings, repo, schema, champion, contract, holdout)
            except StreamFlowError as error:
                why = error.what
    labels = holdout[LABEL].to_numpy(dtype=bool)
    scored = pd.DataFrame({"label": labels, "challenger": scores}, index=holdout.index)
    compared = None
    if champion is not None and seen is not None:
        scored["champion"] = pd.Series(_score(champion, seen), index=seen.index)
        compared, why = gate_figures.compare(scored, trained_on)
        scored.loc[scored.index.isin(trained_on), "champion"] = np.nan
    whole = bootstrap.auc_interval(labels, scores)
    return Facts(
        version=target.version,
        champion=champion_number,
        refused="",
        holdout_auc=(whole.estimate, whole.low, whole.high),
        compared=compared,
        not_compared=why,
        as_of=datetime.fromisoformat(contract.as_of),
        champion_as_of=champion_as_of,
        slices=gate_figures.slices(scored, parts),
        online=online_columns(settings, contract),
        contract=contract,
        latency_p99_ms=_latency(challenger, holdout),
    )


def _refused(target: Version, champion: int | None, why: str) -> Facts:
    return Facts(
        version=target.version,
        champion=champion,
        refused=why,
        holdout_auc=None,
        compared=None,
        not_compared=why,
        as_of=None,
        champion_as_of=None,
        slices=(),
        online={},
        contract=None,
        latency_p99_ms=None,
    )


def _rows(client: Any, folder: Path, judged: _Judged) -> Kept:
    """A version's training set and its split, checked against its contract and its run."""
    version = judged.version
    where = folder / str(version.version)
    where.mkdir(exist_ok=True)
    recorded = client.get_run(version.run_id).data.params.get("split_digest", "")
    return kept.rows_and_split(
        lambda path: str(client.download_artifacts(version.run_id, path, str(where))),
        judged.contract,
        recorded,
    )


def _trained_on(client: Any, folder: Path, champion: _Judged, challenger: _Judged) -> set[str]:
    """Keys whose label the champion has learnt: its training rows, when both have labels of one date."""
    if champion.contract.label["as_of"] != challenger.contract.label["as_of"]:
        return set()
    found = _rows(client, folder, champion)
    return set(found.frame.loc[~found.holdout, champion.contract.join_key])


def _champions_view(
    settings: Settings,
    repo: FeatureRepo,
    schema: str,
    champion: _Judged,
    contract: Contract,
    holdout: pd.DataFrame,
) -> pd.DataFrame:
    """The holdout's rows with the features that the champion takes, without rows that it would refuse."""
    features = champion.contract.features
    held = {(f.name, f.view, f.type) for f in contract.features}
    if all((f.name, f.view, f.type) in held for f in features):
        frame = holdout
    else:
        names = {f"{view.name}:{field.name}" for view in repo.feature_views for field in view.features}
        gone = sorted(f"{f.view}:{f.name}" for f in features if f"{f.view}:{f.name}" not in names)
        if gone:
            raise UsageError(f"The feature repo does not have what the champion takes: {', '.join(gone)}.")
        built = training_set.build(
            settings,
            repo,
            as_of=datetime.fromisoformat(contract.as_of),
            label_as_of=datetime.fromisoformat(contract.label["as_of"]),
            known_at=datetime.fromisoformat(contract.known_at),
            db_schema=schema,
            schema=(features, champion.contract.views),
        )
        frame = built.frame.set_index(built.key, drop=False)
        frame = frame[frame.index.isin(holdout.index)]
    known = np.ones(len(frame), dtype=bool)
    for feature in features:
        if feature.type == "string":
            known &= frame[feature.name].isin(feature.categories).to_numpy()
        elif not feature.nullable:
            known &= frame[feature.name].notna().to_numpy()
    return frame[known]


def _score(judged: _Judged, frame: pd.DataFrame) -> Floats:
    names = [feature.name for feature in judged.contract.features]
    return judged.release.probabilities(raw_rows(judged.contract.features, frame[names]))


def _parts(
    settings: Settings, repo: FeatureRepo, schema: str, contract: Contract
) -> dict[str, dict[str, str]]:
    with transaction(settings) as connection:
        return slice_reader.read(connection, repo, schema, datetime.fromisoformat(contract.as_of))


def _latency(judged: _Judged, frame: pd.DataFrame) -> float:
    """99th percentile of single answers of the model, in milliseconds of the processor.

    Not of the clock: what else runs on the machine says nothing about the model, and must not decide.
    """
    names = [feature.name for feature in judged.contract.features]
    rows = raw_rows(judged.contract.features, frame[names].head(_TIMED_ANSWERS))
    judged.release.probabilities(rows[:1])
    times = []
    for i in range(_TIMED_ANSWERS):
        started = time.thread_time()
        judged.release.probabilities([rows[i % len(rows)]])
        times.append(time.thread_time() - started)
    return float(np.quantile(times, 0.99) * 1000)


def _told(facts: Facts) -> dict[str, Any]:
    """The facts as JSON takes them; the contract is a file of the version already."""
    told = asdict(facts)
    del told["contract"]
    document: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return document


def _keep(settings: Settings, target: Version, report: GateReport) -> None:
    with tracking.client(settings) as client:
        client.log_text(target.run_id, report.text, f"{report.artifact}.json")
        client.log_text(target.run_id, gate_page.page(asdict(report)), f"{report.artifact}.html")
        for tag, value in ((VERDICT_TAG, report.verdict), (REPORT_TAG, f"{report.artifact}.html")):
            client.set_model_version_tag(report.model, str(report.version), tag, value)

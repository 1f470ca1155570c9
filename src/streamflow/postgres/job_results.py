"""Typed, versioned results of job runs, stored in `streamflow.job_runs.facts`.

The next run of a job and the exporter read these results, possibly after an upgrade, so each is stored with the version
of its layout (1 without one). To change the fields of a result, increment `VERSION` and convert older ones in `upgraded`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from streamflow import log
from streamflow.postgres import statements

_SQL = statements.load(Path(__file__).with_name("job_runs.sql"))
VERSION_KEY = "result_version"


@dataclass(frozen=True)
class JobResult:
    """Base class of results.

    Attributes:
        JOB: Name of the job that reports this result; empty if any job may.
        VERSION: Version of the layout.
    """

    JOB: ClassVar[str] = ""
    VERSION: ClassVar[int] = 2

    @classmethod
    def upgraded(cls, facts: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Convert facts of an older version to the current layout."""
        return facts


@dataclass(frozen=True)
class Idle(JobResult):
    """A run with nothing to do yet, for example before the first drop.

    Attributes:
        idle: The reason.
    """

    idle: str


@dataclass(frozen=True)
class IngestedDrop:
    """A drop that an ingest processed.

    Attributes:
        drop_id: Id of the drop in the ledger.
        as_of: Date that the drop describes.
        changed: False if the newest drop of this date has the same content and nothing was stored.
        loaded_at: Load time by the database's clock.
        accepted: Number of stored rows, by table.
        quarantined: Number of rejected rows, by table.
    """

    drop_id: str
    as_of: date
    changed: bool
    loaded_at: datetime
    accepted: dict[str, int]
    quarantined: dict[str, int]


@dataclass(frozen=True)
class IngestResult(JobResult):
    """Result of the job `ingest`.

    Attributes:
        drops: Processed drops, oldest first.
    """

    JOB: ClassVar[str] = "ingest"

    drops: tuple[IngestedDrop, ...]

    @classmethod
    def upgraded(cls, facts: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Version 1 listed the drops as `items`, with row counts of each file."""
        if version > 1:
            return facts
        return {"drops": [cls._drop(item) for item in facts.get("items", ())]}

    @staticmethod
    def _drop(item: Mapping[str, Any]) -> dict[str, Any]:
        counts = {
            kind: {table["table"]: table[kind] for table in item["tables"]}
            for kind in ("accepted", "quarantined")
        }
        return {**item, **counts}


@dataclass(frozen=True)
class MaterializedView:
    """The online table of a feature view after a materialization.

    Attributes:
        feature_view: Name of the feature view.
        rows: Number of entities written by this materialization.
        entities: Number of entities in the online table afterwards.
        newest_as_of: Newest event timestamp in the online table.
    """

    feature_view: str
    rows: int
    entities: int
    newest_as_of: datetime | None


@dataclass(frozen=True)
class MaterializeResult(JobResult):
    """Result of the job `materialize`.

    Attributes:
        views: One entry for each feature view.
    """

    JOB: ClassVar[str] = "materialize"

    views: tuple[MaterializedView, ...]

    @classmethod
    def upgraded(cls, facts: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Version 1 listed the views as `items`."""
        return facts if version > 1 else {"views": facts.get("items", ())}


@dataclass(frozen=True)
class Judged:
    """What the gate measured when it judged the newest version that the job `train` trained.

    Attributes:
        version: The challenger.
        champion: The version in production then; None when there was none.
        passed: Whether the gate passed the challenger.
        judged_at: When.
        auc: The challenger's AUC on the newest labels: on the rows that the champion was judged on, too, or else on its
            whole holdout; None when it could not be loaded.
        auc_low: Lower end of the 95 % interval of this AUC.
        champion_auc: The champion's AUC on the same rows; None when both could not be compared.
        champion_auc_low: Lower end of the 95 % interval of the champion's AUC.
    """

    version: int
    champion: int | None
    passed: bool
    judged_at: datetime
    auc: float | None = None
    auc_low: float | None = None
    champion_auc: float | None = None
    champion_auc_low: float | None = None


@dataclass(frozen=True)
class TrainResult(JobResult):
    """Result of the job `train`.

    Attributes:
        version: The new model version; None if nothing called for a training.
        promoted: Whether the new version was promoted to production.
        why: Reason for this outcome.
        drops: Ids of the drops known to the newest training; what it did not know is new to the next run.
        auc: AUC of the new version on its holdout.
        gate: `passed` or `failed`; empty if no version was trained.
        judged: The newest judgement of the gate, of this run or, if it trained no version, of an earlier one; None before
            the first, and after one that was recorded up to version 2.
    """

    JOB: ClassVar[str] = "train"
    VERSION: ClassVar[int] = 3

    version: int | None
    promoted: bool
    why: str
    drops: tuple[str, ...]
    auc: float | None = None
    gate: str = ""
    judged: Judged | None = None


@dataclass(frozen=True)
class ScoreResult(JobResult):
    """Result of the job `score`: a scoring of all entities.

    Attributes:
        scoring_id: Id of the scoring in `streamflow.scorings`; its scores are in `streamflow.scores`.
        model: Name of the registered model.
        version: Model version that computed the scores.
        fingerprint: Fingerprint of that version's training set.
        as_of: Date of the feature values.
        known_at: Newest loaded-at that was visible.
        scored: Number of entities with a probability.
        positive: Number of entities whose probability reaches the threshold.
        refused: Number of entities without a probability, by reason.
        features: Number of refused entities, by missing feature.
        seconds: Duration.
    """

    JOB: ClassVar[str] = "score"

    scoring_id: int
    model: str
    version: int
    fingerprint: str
    as_of: datetime
    known_at: datetime
    scored: int
    positive: int
    refused: dict[str, int]
    features: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class ScoreSkipped(JobResult):
    """A run of the job `score` that was skipped, because it would have repeated the newest scoring.

    Attributes:
        scoring_id: Id of the newest scoring.
        version: Model version that computed it.
        as_of: Date of its feature values.
        why: Reason for skipping.
    """

    JOB: ClassVar[str] = "score"

    scoring_id: int
    version: int
    as_of: datetime
    why: str


@dataclass(frozen=True)
class MonitorResult(JobResult):
    """Result of the job `monitor`: figures that passed its consistency checks.

    Attributes:
        newest_drop: As-of of the newest drop.
        tables: Number of rows, by source table.
        views: Number of entities, by feature view.
        harm_id: Newest verdict that the version in production does harm, unless a training has answered it.
        quality: Number of figures of quality that were recorded.
        report: SHA-256 of the newest month's report, which MLflow keeps; empty if no month was judged.
        drift: Verdict on the drift of the newest drop; empty if nothing is in production.
    """

    JOB: ClassVar[str] = "monitor"

    newest_drop: str
    tables: dict[str, int]
    views: dict[str, int]
    harm_id: int | None = None
    quality: int = 0
    drift: str = ""
    report: str = ""


@dataclass(frozen=True)
class ParityResult(JobResult):
    """Result of the job `parity`: answers of batch scoring compared with answers of predict.

    Attributes:
        version: Version behind `production`.
        sampled: Number of entities requested.
        compared: Number of entities for which both answers come from the same version.
        differences: Number of compared entities with different probabilities, or refused by only one side.
        other_version: Number of answers from another version, which are not compared. A canary or a promotion
            during the run causes them.
        requests: The first requests to predict with differences, each with the answers of batch scoring and of
            predict; None stands for a refusal. The prediction log says which entity a request was about, so that the
            log of the job and this result name nobody.
    """

    JOB: ClassVar[str] = "parity"
    VERSION: ClassVar[int] = 3

    version: int
    sampled: int
    compared: int
    differences: int
    other_version: int
    requests: tuple[tuple[str, float | None, float | None], ...]

    @classmethod
    def upgraded(cls, facts: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Up to version 2, the keys of the entities stood in place of requests."""
        return {**facts, "requests": ()} if version <= 2 else facts


@dataclass(frozen=True)
class AuditResult(JobResult):
    """Result of the job `audit`.

    Attributes:
        chain_ok: Whether the audit trail is complete and unmodified.
        problems: Descriptions of what is wrong with its hash chain.
        losses: Restores that lost rows of it, each with the newest row that was lost.
    """

    JOB: ClassVar[str] = "audit"

    chain_ok: bool
    problems: tuple[str, ...]
    losses: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromoteResult(JobResult):
    """Result of the job `promote`: the registrar did what it was asked for.

    Attributes:
        request_id: Id of the request.
        version: Version that was promoted.
        promotion_id: Row of the ledger that says so.
    """

    JOB: ClassVar[str] = "promote"

    request_id: str
    version: int
    promotion_id: int


Result = TypeVar("Result", bound=JobResult)


def to_facts(result: JobResult) -> dict[str, Any]:
    """Serialize a result to the JSON object to store: its fields and the version of their layout."""
    facts: dict[str, Any] = json.loads(TypeAdapter(type(result)).dump_json(result))
    return {**facts, VERSION_KEY: result.VERSION}


def from_facts(kind: type[Result], facts: Mapping[str, Any]) -> Result | None:
    """Parse a stored result of the current or an older version.

    A result of a newer version, written before a downgrade, is parsed if the current fields are still there.

    Returns:
        The result, or None if the facts do not match this kind of result.
    """
    try:
        result: Result = TypeAdapter(kind).validate_python(
            kind.upgraded(facts, int(facts.get(VERSION_KEY, 1)))
        )
    except (ValidationError, KeyError, TypeError) as error:
        log.get(__name__).warning("unreadable job result", job=kind.JOB, error=str(error).splitlines()[0])
        return None
    return result


def newest(connection: sa.Connection, kind: type[Result]) -> Result | None:
    """Return the result of a job's newest successful, non-idle run, or None if there is none yet."""
    facts = connection.execute(sa.text(_SQL["newest_facts"]), {"job": kind.JOB}).scalar()
    return None if facts is None else from_facts(kind, facts)

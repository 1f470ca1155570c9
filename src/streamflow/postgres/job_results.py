"""What the jobs report about their runs: typed, versioned results in `streamflow.job_runs.facts`.

The next run of a job and the exporter read them, also after an upgrade, so each result is written with the
version of its layout. Version 1 is everything written before results had a version.

To change a result's fields: raise `VERSION`, and let `upgraded` turn the older layouts into the new one.
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

VERSION_KEY = "result_version"


@dataclass(frozen=True)
class JobResult:
    """What one run of a job did.

    Attributes:
        JOB: The job that reports it; empty when any job may.
        VERSION: The layout of its fields.
    """

    JOB: ClassVar[str] = ""
    VERSION: ClassVar[int] = 2

    @classmethod
    def upgraded(cls, facts: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Turn facts of an older version into the present layout."""
        return facts


@dataclass(frozen=True)
class Idle(JobResult):
    """A run that had nothing to do yet, as before the first drop.

    Attributes:
        idle: Why.
    """

    idle: str


@dataclass(frozen=True)
class IngestedDrop:
    """One drop of an ingest.

    Attributes:
        drop_id: Its name in the ledger.
        as_of: The date that it is about.
        changed: False when the newest drop of this date has the same content, so that nothing was stored.
        loaded_at: When it was loaded, by the database's clock.
        accepted: Rows stored, by table.
        quarantined: Rows rejected, by table.
    """

    drop_id: str
    as_of: date
    changed: bool
    loaded_at: datetime
    accepted: dict[str, int]
    quarantined: dict[str, int]


@dataclass(frozen=True)
class IngestResult(JobResult):
    """What the job `ingest` took out of the inbox.

    Attributes:
        drops: The drops, oldest first.
    """

    JOB: ClassVar[str] = "ingest"

    drops: tuple[IngestedDrop, ...]

    @classmethod
    def upgraded(cls, facts: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Version 1 listed the outcomes as `items`, with the rows of each file."""
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
    """What one feature view's online table holds after a materialization.

    Attributes:
        feature_view: Its name.
        rows: Entities written by this materialization.
        entities: Entities in the online table afterwards.
        newest_as_of: Newest event timestamp in it.
    """

    feature_view: str
    rows: int
    entities: int
    newest_as_of: datetime | None


@dataclass(frozen=True)
class MaterializeResult(JobResult):
    """What the job `materialize` wrote.

    Attributes:
        views: One entry a feature view.
    """

    JOB: ClassVar[str] = "materialize"

    views: tuple[MaterializedView, ...]

    @classmethod
    def upgraded(cls, facts: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Version 1 listed the views as `items`."""
        return facts if version > 1 else {"views": facts.get("items", ())}


@dataclass(frozen=True)
class TrainResult(JobResult):
    """What the job `train` did.

    Attributes:
        version: The new model version; None when there was nothing new to learn from.
        promoted: Whether it is served now.
        why: The reason for either.
        drops: Ids of the drops that were known; the next run compares its own with them.
        auc: Its AUC on its holdout.
        gate: `passed` or `failed`; empty when nothing was trained.
    """

    JOB: ClassVar[str] = "train"

    version: int | None
    promoted: bool
    why: str
    drops: tuple[str, ...]
    auc: float | None = None
    gate: str = ""


@dataclass(frozen=True)
class ScoreResult(JobResult):
    """A scoring of every entity.

    Attributes:
        scoring_id: Its number in `streamflow.scorings`; its scores are in `streamflow.scores`.
        model: Registered model.
        version: The version that scored.
        fingerprint: Fingerprint of the training set of that version.
        as_of: When the world was looked at.
        known_at: Newest load time that was visible.
        scored: Entities with a probability.
        positive: Those that reach the threshold.
        refused: Entities without one, by reason.
        features: Refused entities by the feature that they lack.
        seconds: How long it took.
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
    """A run of the job `score` that would only have repeated the newest scoring.

    Attributes:
        scoring_id: The newest scoring.
        version: The version that made it.
        as_of: When the world was looked at.
        why: The reason.
    """

    JOB: ClassVar[str] = "score"

    scoring_id: int
    version: int
    as_of: datetime
    why: str


@dataclass(frozen=True)
class MonitorResult(JobResult):
    """The figures that the job `monitor` found consistent.

    Attributes:
        newest_drop: As-of of the newest drop.
        tables: Rows by source table.
        views: Entities by feature view.
    """

    JOB: ClassVar[str] = "monitor"

    newest_drop: str
    tables: dict[str, int]
    views: dict[str, int]


@dataclass(frozen=True)
class ParityResult(JobResult):
    """How the batch path and predict compare.

    Attributes:
        version: Version behind `production`.
        sampled: Entities that were asked for.
        compared: Those that both paths answered or refused, by the same version.
        differences: Those where they disagree: another probability, or one refused and the other not.
        other_version: Answers by another version (a canary, or a promotion meanwhile), which are not compared.
        entities: The first entities that differ, with both answers; None is a refusal.
    """

    JOB: ClassVar[str] = "parity"

    version: int
    sampled: int
    compared: int
    differences: int
    other_version: int
    entities: tuple[tuple[str, float | None, float | None], ...]


@dataclass(frozen=True)
class AuditResult(JobResult):
    """What the job `audit` found.

    Attributes:
        chain_ok: Whether every row of the audit trail is unchanged and none is missing.
        problems: What is wrong with the chain, a sentence each.
        outside: External changes recorded now.
    """

    JOB: ClassVar[str] = "audit"

    chain_ok: bool
    problems: tuple[str, ...]
    outside: int


@dataclass(frozen=True)
class BackupResult(JobResult):
    """A finished backup.

    Attributes:
        folder: Where it is.
        files: Bytes per file.
        rows: Rows per database.
        versions: Model versions whose files are in it.
        elsewhere: Versions whose files are not behind MLflow's artifact proxy, and so not in it.
        removed: Names of older backups that were removed.
    """

    JOB: ClassVar[str] = "backup"

    folder: Path
    files: dict[str, int]
    rows: dict[str, int]
    versions: tuple[int, ...]
    elsewhere: tuple[int, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class RestoreResult(JobResult):
    """What a restore brought back.

    Attributes:
        folder: The backup.
        made_at: When it was made.
        rows: Rows per database, each table compared with the manifest.
        artifacts: Files of model versions that were stored again.
        next: What remains to be done, a sentence each.
    """

    JOB: ClassVar[str] = "restore"

    folder: Path
    made_at: str
    rows: dict[str, int]
    artifacts: int
    next: tuple[str, ...]


Result = TypeVar("Result", bound=JobResult)


def to_facts(result: JobResult) -> dict[str, Any]:
    """The JSON object that is stored for a result: its fields and the version of their layout."""
    facts: dict[str, Any] = json.loads(TypeAdapter(type(result)).dump_json(result))
    return {**facts, VERSION_KEY: result.VERSION}


def from_facts(kind: type[Result], facts: Mapping[str, Any]) -> Result | None:
    """Read a stored result of any version up to the present one.

    A newer version, written before a downgrade, is read as far as its fields are still the same.

    Returns:
        The result, or None when the facts are not those of such a result.
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
    """The result of the job's newest run that ended well and had something to do; None before the first."""
    facts = connection.execute(
        sa.text(
            "SELECT facts FROM streamflow.job_runs WHERE job = :job AND outcome = 'done'"
            " AND NOT facts ? 'idle' ORDER BY run_id DESC LIMIT 1"
        ),
        {"job": kind.JOB},
    ).scalar()
    return None if facts is None else from_facts(kind, facts)

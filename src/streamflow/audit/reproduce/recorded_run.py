"""Read what a run recorded, and which of its artifacts can be trusted."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from streamflow.erasure.runs import LeftOfRun
from streamflow.errors import NotFound
from streamflow.mlflow_api import sdk
from streamflow.model_version import files as version_files
from streamflow.model_version import run_record
from streamflow.model_version import tags as version_tags
from streamflow.model_version.contract import Contract, drops_digest
from streamflow.model_version.run_record import RunRecord
from streamflow.model_version.training_set import TrainingSet
from streamflow.settings import MlflowSettings
from streamflow.training import stored


@dataclass(frozen=True)
class RecordedRun:
    """What a run recorded. What cannot be read or trusted is None, with a sentence in `problems`.

    Attributes:
        record: Its parameters.
        metrics: Metrics.
        tags: StreamFlow's tags, without their prefix.
        contract: Contract of its model.
        golden: Golden rows with their probabilities.
        stored: Training set that it stored.
        drops: Id and digest of each drop that it saw.
        packages: Version of each package that it had installed.
        sources: Digest of each source file.
        problems: A sentence by the name of the file that cannot be trusted.
        left: What erasures left of its training set; None if none of its rows was erased.
    """

    record: RunRecord
    metrics: dict[str, float]
    tags: dict[str, str]
    contract: Contract | None
    golden: dict[str, Any] | None
    stored: TrainingSet | None
    drops: list[dict[str, str]] | None
    packages: dict[str, str] | None
    sources: dict[str, str] | None
    problems: dict[str, str]
    left: LeftOfRun | None = None


def read(mlflow: MlflowSettings, run_id: str, left: LeftOfRun | None = None) -> RecordedRun:
    """Read a run from MLflow.

    Args:
        mlflow: MLflow's server.
        run_id: MLflow's id of the run.
        left: What erasures left of its training set; None if none of its rows was erased.

    Raises:
        NotFound: There is no such run, or it is not a finished training.
        DependencyDown: MLflow does not answer.
    """
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-reproduce-") as folder,
        sdk.client(mlflow) as client,
    ):
        run = client.get_run(run_id)

        def fetch(path: str) -> str:
            return str(client.download_artifacts(run_id, path, folder))

        pins = {
            item.tags.get(version_tags.MANIFEST_SHA256, "")
            for item in client.search_model_versions(f"run_id = '{run_id}'")
        }
        files = {
            name: sdk.artifact(fetch, f"{version_files.MODEL}/{name}")
            for name in (version_files.MANIFEST, version_files.CONTRACT, version_files.GOLDEN)
        }
        marks = {run_record.LABEL_HORIZON, run_record.SPLIT_DIGEST}
        if files[version_files.MANIFEST] is None or not marks <= set(run.data.params):
            parent = sdk.parent_of(run.data.tags)
            raise NotFound(
                f"Run {run_id} is not a finished training: its artifacts are missing.",
                hint=f"It is a candidate of the training whose run is {parent}; give that."
                if parent
                else "Give the run of a version ('streamflow models show VERSION').",
            )
        record = RunRecord.from_parameters(run.data.params)
        problems: dict[str, str] = {}
        trusted = _trusted(files, pins, problems)
        contract = (
            Contract.from_json(trusted[version_files.CONTRACT].decode())
            if version_files.CONTRACT in trusted
            else None
        )
        training_set = None
        if contract is not None:
            try:
                training_set = _training_set(record, contract, stored.rows(fetch, contract, left))
            except stored.NotStoredError as error:
                problems[version_files.ROWS] = error.what
        facts = _document(sdk.artifact(fetch, f"{version_files.TRAINING_SET}/{version_files.FINGERPRINT}"))
        return RecordedRun(
            record=record,
            metrics=dict(run.data.metrics),
            tags=version_tags.own(run.data.tags),
            contract=contract,
            golden=json.loads(trusted[version_files.GOLDEN]) if version_files.GOLDEN in trusted else None,
            stored=training_set,
            drops=_drops(facts, record.drops_digest),
            packages=_document(sdk.artifact(fetch, version_files.PACKAGES)),
            sources=_document(sdk.artifact(fetch, version_files.SOURCES)),
            problems=problems,
            left=left,
        )


def _trusted(files: Mapping[str, bytes | None], pins: set[str], problems: dict[str, str]) -> dict[str, bytes]:
    """The files of the model that match the manifest; the others get a sentence in `problems`."""
    manifest = files[version_files.MANIFEST] or b""
    listed = (_document(manifest) or {}).get("files")
    digests: dict[str, str] = listed if isinstance(listed, dict) else {}
    registered = not pins or hashlib.sha256(manifest).hexdigest() in pins
    trusted = {}
    for name in (version_files.CONTRACT, version_files.GOLDEN):
        content = files[name]
        if not registered or not digests:
            problems[name] = (
                f"{version_files.MANIFEST} is not the one that was recorded, so {name} cannot be trusted."
            )
        elif content is None:
            problems[name] = f"{name} is missing."
        elif hashlib.sha256(content).hexdigest() != digests.get(name):
            problems[name] = f"{name} is not the one that was recorded: its digest differs."
        else:
            trusted[name] = content
    return trusted


def _document(content: bytes | None) -> dict[str, Any] | None:
    try:
        document = json.loads(content or b"")
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _drops(facts: dict[str, Any] | None, digest: str | None) -> list[dict[str, str]] | None:
    """The run's drops; None when they cannot be read, or are not those that it recorded."""
    drops = (facts or {}).get("drops")
    if not isinstance(drops, list) or not all({"drop_id", "digest"} <= set(item) for item in drops):
        return None
    return drops if digest in (None, drops_digest(drops)) else None


def _training_set(record: RunRecord, contract: Contract, frame: pd.DataFrame) -> TrainingSet:
    return TrainingSet(
        frame=frame,
        key=contract.join_key,
        features=contract.features,
        views=contract.views,
        as_of=datetime.fromisoformat(contract.as_of),
        label_as_of=record.label_as_of,
        known_at=datetime.fromisoformat(contract.known_at),
        fingerprint=contract.fingerprint,
        incomplete={},
    )

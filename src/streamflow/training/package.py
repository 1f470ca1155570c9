"""Write a model version's files: estimator, compiled classifier, contract, golden rows, manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from streamflow.mlflow_api import sdk
from streamflow.model_version import files as version_files
from streamflow.model_version.contract import Contract
from streamflow.model_version.training_set import TrainingSet
from streamflow.training.fit import Fitted, deterministic
from streamflow.training.runtime import compile_classifier, raw_rows

TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]
"""The only types beyond skops' own list that a stored estimator may contain; each is plain data."""


def write(
    folder: Path, fitted: Fitted, data: TrainingSet, contract: Contract, *, golden_rows: int
) -> Contract:
    """Fill `folder` with everything a version consists of.

    Returns:
        The contract, with what was checked about the runtime.

    Raises:
        StreamFlowError: the compiled classifier does not reproduce the estimator.
    """
    runtime = compile_classifier(fitted.pipeline, data.features, data.x)
    contract = replace(
        contract,
        runtime={
            "name": runtime.name,
            "version": runtime.version,
            "rows_checked": runtime.rows,
            "largest_difference": runtime.largest_difference,
        },
    )
    sdk.save_classifier(
        fitted.pipeline,
        folder,
        data.x.head(5),
        trusted_types=TRUSTED_TYPES,
        requirements=_requirements(),
    )
    (folder / version_files.ONNX).write_bytes(runtime.model)
    (folder / version_files.CONTRACT).write_text(contract.to_json(), encoding="utf-8")
    (folder / version_files.GOLDEN).write_text(
        json.dumps(_golden(fitted, data, golden_rows)), encoding="utf-8"
    )
    write_manifest(folder)
    return contract


def write_manifest(folder: Path) -> None:
    """Write the SHA-256 of every file of the version."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != version_files.MANIFEST
    }
    (folder / version_files.MANIFEST).write_text(
        json.dumps({"files": files}, indent=2, sort_keys=True), encoding="utf-8"
    )


def manifest_sha256(folder: Path) -> str:
    """SHA-256 of the manifest; recorded in the registry, it pins every file."""
    return hashlib.sha256((folder / version_files.MANIFEST).read_bytes()).hexdigest()


def _requirements() -> list[str]:
    return [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "skops", "numpy", "pandas")]


def _golden(fitted: Fitted, data: TrainingSet, count: int) -> dict[str, Any]:
    """Rows whose probabilities a loader must reproduce: evenly spread ones, and some with absent values."""
    x = data.x
    spread = np.linspace(0, len(x) - 1, num=min(count, len(x)), dtype=int)
    nullable = [feature.name for feature in data.features if feature.nullable]
    absent = np.flatnonzero(x[nullable].isna().any(axis=1))[:8] if nullable else np.array([], dtype=int)
    chosen = x.iloc[np.unique(np.concatenate([spread, absent]))]
    with deterministic():
        probabilities = fitted.pipeline.predict_proba(chosen)[:, 1]
    return {"rows": raw_rows(data.features, chosen), "probabilities": [float(p) for p in probabilities]}

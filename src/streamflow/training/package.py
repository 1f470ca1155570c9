"""Write the files of a model version: estimator, ONNX model, contract, golden rows and manifest."""

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
"""Types that a stored estimator may contain beyond those that skops trusts by default; both are plain data."""


def write(
    folder: Path, fitted: Fitted, data: TrainingSet, contract: Contract, *, golden_rows: int
) -> Contract:
    """Compile the classifier and write all files of a model version to `folder`.

    Args:
        folder: Folder to write to. MLflow creates it.
        fitted: Pipeline to store.
        data: Training set, on which the compiled classifier is checked.
        contract: Contract of the model version, without its runtime.
        golden_rows: Number of golden rows, in addition to at most 8 rows with nulls.

    Returns:
        The contract, completed with the runtime and the largest difference from the estimator.

    Raises:
        StreamFlowError: The compiled classifier does not reproduce the estimator's probabilities.
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
    # Last, because it lists the digests of all other files.
    write_manifest(folder)
    return contract


def write_manifest(folder: Path) -> None:
    """Write the manifest: the SHA-256 of every other file in the folder."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != version_files.MANIFEST
    }
    (folder / version_files.MANIFEST).write_text(
        json.dumps({"files": files}, indent=2, sort_keys=True), encoding="utf-8"
    )


def manifest_sha256(folder: Path) -> str:
    """Return the SHA-256 of the manifest, which pins every file once it is a tag of the model version."""
    return hashlib.sha256((folder / version_files.MANIFEST).read_bytes()).hexdigest()


def _requirements() -> list[str]:
    return [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "skops", "numpy", "pandas")]


def _golden(fitted: Fitted, data: TrainingSet, count: int) -> dict[str, Any]:
    """Choose golden rows: evenly spread ones and at most 8 with nulls.

    A release is refused if it does not reproduce their probabilities.
    """
    x = data.x
    spread = np.linspace(0, len(x) - 1, num=min(count, len(x)), dtype=int)
    nullable = [feature.name for feature in data.features if feature.nullable]
    absent = np.flatnonzero(x[nullable].isna().any(axis=1))[:8] if nullable else np.array([], dtype=int)
    chosen = x.iloc[np.unique(np.concatenate([spread, absent]))]
    with deterministic():
        probabilities = fitted.pipeline.predict_proba(chosen)[:, 1]
    return {"rows": raw_rows(data.features, chosen), "probabilities": [float(p) for p in probabilities]}

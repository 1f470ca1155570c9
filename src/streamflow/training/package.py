"""Write the files of a model version: estimator, ONNX model, contract, golden rows and manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from streamflow.mlflow_api import sdk
from streamflow.model_version import files as version_files
from streamflow.model_version.contract import Contract
from streamflow.model_version.training_set import TrainingSet
from streamflow.training import made_rows
from streamflow.training.fit import Fitted, deterministic
from streamflow.training.runtime import NotServableError, compile_classifier
from streamflow.training.servable import TRUSTED_TYPES, check_kept_rows


def write(
    folder: Path, fitted: Fitted, data: TrainingSet, contract: Contract, *, golden_rows: int
) -> Contract:
    """Compile the classifier and write all files of a model version to `folder`.

    Args:
        folder: Folder to write to. MLflow creates it.
        fitted: Pipeline to store.
        data: Training set, on which the compiled classifier is checked. None of its rows is written.
        contract: Contract of the model version, without its runtime.
        golden_rows: Number of golden rows to make.

    Returns:
        The contract, completed with the runtime and the largest difference from the estimator.

    Raises:
        NotServableError: The estimator keeps rows of customers, or no compiled classifier reproduces its probabilities.
    """
    golden = made_rows.make(data.features, contract.statistics, fitted.pipeline, golden_rows)
    made = made_rows.frame(data.features, golden, data.x)
    try:
        check_kept_rows(fitted.pipeline, data.x.iloc[fitted.split.train])
        runtime = compile_classifier(
            fitted.pipeline, data.features, pd.concat([data.x, made], ignore_index=True)
        )
    except NotServableError as error:
        raise error.of(fitted.estimator) from error
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
        made,
        trusted_types=TRUSTED_TYPES,
        requirements=_requirements(),
    )
    (folder / version_files.ONNX).write_bytes(runtime.model)
    (folder / version_files.CONTRACT).write_text(contract.to_json(), encoding="utf-8")
    (folder / version_files.GOLDEN).write_text(json.dumps(_golden(fitted, golden, made)), encoding="utf-8")
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


def _golden(fitted: Fitted, rows: list[list[Any]], made: pd.DataFrame) -> dict[str, Any]:
    """The golden rows with the estimator's probabilities; a release that does not reproduce them is refused."""
    with deterministic():
        probabilities = fitted.pipeline.predict_proba(made)[:, 1]
    return {"rows": rows, "probabilities": [float(p) for p in probabilities]}

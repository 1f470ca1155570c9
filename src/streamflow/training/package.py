"""Write the files of a model version: estimator, ONNX model, contract, golden rows and manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from streamflow import encoding, onnx_model
from streamflow.mlflow_api import sdk
from streamflow.model_version import files as version_files
from streamflow.model_version.contract import Contract
from streamflow.model_version.training_set import TrainingSet
from streamflow.training import made_rows
from streamflow.training.fit import Fitted, deterministic
from streamflow.training.runtime import NotServableError, compile_classifier
from streamflow.training.servable import TRUSTED_TYPES, check_kept_rows

_COPIED: tuple[ModuleType, ...] = (onnx_model, encoding)
"""Modules that each version has a copy of."""


def write(
    folder: Path,
    fitted: Fitted,
    data: TrainingSet,
    contract: Contract,
    made_by: Mapping[str, str],
    *,
    golden_rows: int,
) -> Contract:
    """Compile the classifier and write all files of a model version to `folder`.

    Args:
        folder: Folder to write to. MLflow creates it.
        fitted: Pipeline to store.
        data: Training set, on which the compiled classifier is checked. None of its rows is written.
        contract: Contract of the model version, without its runtime.
        made_by: Tags that identify the code and the environment.
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
        runtime = compile_classifier(fitted.pipeline, data.features, data.x, made)
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
    answers = _golden(fitted, golden, made)
    sdk.save_classifier(
        fitted.pipeline,
        folder,
        made,
        pd.DataFrame({onnx_model.PROBABILITY: answers["probabilities"]}),
        trusted_types=TRUSTED_TYPES,
        requirements=_requirements(),
        code=version_files.CODE,
        loader=loader(),
    )
    write_code(folder / version_files.CODE)
    (folder / version_files.ONNX).write_bytes(runtime.model)
    (folder / version_files.CONTRACT).write_text(contract.to_json(), encoding="utf-8")
    (folder / version_files.GOLDEN).write_text(json.dumps(answers), encoding="utf-8")
    lineage = json.dumps(dict(made_by), indent=2, sort_keys=True)
    (folder / version_files.LINEAGE).write_text(lineage, encoding="utf-8")
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


def loader() -> str:
    """Name of the module in the code of a version that loads its ONNX model."""
    return f"{_package()}.{_name(onnx_model)}"


def write_code(folder: Path) -> None:
    """Write the code that loads the ONNX model of a version.

    Args:
        folder: Folder to create, whose packages MLflow's clients import.
    """
    package = folder / _package()
    package.mkdir(parents=True)
    (package / "__init__.py").write_bytes(b"")
    for name, content in _code().items():
        (package / f"{name}.py").write_bytes(content)


def _code() -> dict[str, bytes]:
    return {_name(module): Path(str(module.__file__)).read_bytes() for module in _COPIED}


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _package() -> str:
    """Name of the package of the code. It has a digest: a process may load versions with different code."""
    digest = hashlib.sha256(b"\0".join(content for _, content in sorted(_code().items())))
    return f"streamflow_model_{digest.hexdigest()[:12]}"


def _requirements() -> list[str]:
    names = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "onnxruntime")
    return [f"{name}=={version(name)}" for name in names]


def _golden(fitted: Fitted, rows: list[list[Any]], made: pd.DataFrame) -> dict[str, Any]:
    """The golden rows with the estimator's probabilities; a release that does not reproduce them is refused."""
    with deterministic():
        probabilities = fitted.pipeline.predict_proba(made)[:, 1]
    return {"rows": rows, "probabilities": [float(p) for p in probabilities]}

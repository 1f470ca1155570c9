"""Read the training set that a run stored in MLflow, and verify that it is the one that the run recorded."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from streamflow import types
from streamflow.erasure.runs import LeftOfRun
from streamflow.errors import StreamFlowError
from streamflow.mlflow_api import sdk
from streamflow.model_version import files
from streamflow.model_version.contract import Contract, Feature
from streamflow.model_version.fingerprint import fingerprint
from streamflow.model_version.training_set import LABEL
from streamflow.training.split import holdout_digest


class NotStoredError(StreamFlowError):
    """The stored training set is missing, unreadable, or not the one that the run was trained on."""


@dataclass(frozen=True)
class StoredRows:
    """A stored training set with its split.

    Attributes:
        frame: Columns of key, features and label, one row per entity.
        holdout: Whether each row belongs to the holdout.
    """

    frame: pd.DataFrame
    holdout: npt.NDArray[np.bool_]


def rows(fetch: Callable[[str], str], contract: Contract, left: LeftOfRun | None = None) -> pd.DataFrame:
    """Return the stored rows after verifying their fingerprint.

    Args:
        fetch: Returns the local path of one of the run's artifacts.
        contract: Contract of the model that the run trained.
        left: What erasures left of the rows; None if none was erased.

    Raises:
        NotStoredError: The rows are missing, unreadable, or have another fingerprint.
        DependencyDown: MLflow does not answer.
    """
    frame = _frame(fetch, files.ROWS)
    try:
        found = fingerprint_of(contract, frame)
    except Exception as error:
        # A file that was replaced may contain anything, so any exception is possible here.
        raise NotStoredError(
            f"{files.ROWS} does not have the rows of its contract ({_kind(error)})"
        ) from error
    wanted = left.fingerprint if left else contract.fingerprint
    if left and found != wanted and found in (contract.fingerprint, *left.between):
        raise NotStoredError(
            f"{files.ROWS} still has erased rows: run 'streamflow erase' again to complete it"
        )
    if found != wanted:
        but = f" without the {left.rows} erased rows" if left else ""
        raise NotStoredError(
            f"{files.ROWS} is not the one it was trained on{but}: its fingerprint is {found}, not {wanted}"
        )
    # Python's texts, so that frames of files of any age have indexes of one type.
    return frame.astype({contract.join_key: object})


def rows_and_split(
    fetch: Callable[[str], str], contract: Contract, split_digest: str, left: LeftOfRun | None = None
) -> StoredRows:
    """Return the stored rows and their split after verifying both.

    Args:
        fetch: Returns the local path of one of the run's artifacts.
        contract: Contract of the model that the run trained.
        split_digest: Digest of the holdout that the run recorded.
        left: What erasures left of the rows; None if none was erased.

    Raises:
        NotStoredError: The rows or the split are missing, unreadable, or not those of the run.
        DependencyDown: MLflow does not answer.
    """
    frame, split = rows(fetch, contract, left), _frame(fetch, files.SPLIT)
    keys = frame[contract.join_key].tolist()
    try:
        same = split[contract.join_key].tolist() == keys
        holdout = (split["part"] == "holdout").to_numpy(dtype=bool)
    except Exception as error:
        raise NotStoredError(f"{files.SPLIT} is no split of its rows ({_kind(error)})") from error
    digest = holdout_digest([key for key, held in zip(keys, holdout, strict=False) if held])
    if not same or digest != (left.split_digest if left else split_digest):
        raise NotStoredError(f"{files.SPLIT} is not the one it was judged on: it names another holdout")
    return StoredRows(frame, holdout)


def fingerprint_of(contract: Contract, frame: pd.DataFrame) -> str:
    """Compute the fingerprint of a training set, with the column types of a contract. Pure."""
    features, key = contract.features, contract.join_key
    columns = [(key, "string"), *((f.name, f.type) for f in features), (LABEL, "bool")]
    typed = {feature.name: _typed(feature, frame[feature.name]) for feature in features}
    labels = pa.array(frame[LABEL].astype(bool).to_numpy())
    return fingerprint(columns, pa.table({key: pa.array(frame[key].to_numpy()), **typed, LABEL: labels}))


def _typed(feature: Feature, column: pd.Series[Any]) -> pa.Array:
    """A column as it was before nulls made it one of floats."""
    values = column.to_numpy()
    if not feature.nullable:
        return pa.array(values)
    # Nullable columns are float64 with NaN for null, regardless of the feature's type.
    numbers = values.astype(np.float64)
    absent = np.isnan(numbers)
    return pa.array(np.where(absent, 0.0, numbers).astype(types.of(feature.type).numpy), mask=absent)


def _frame(fetch: Callable[[str], str], file: str) -> pd.DataFrame:
    held = sdk.artifact(fetch, f"{files.TRAINING_SET}/{file}")
    if held is None:
        raise NotStoredError(f"{file} is missing")
    try:
        return pd.read_parquet(io.BytesIO(held))
    except Exception as error:
        raise NotStoredError(f"{file} cannot be read ({_kind(error)})") from error


def _kind(error: Exception) -> str:
    """Return the type of an exception. Its message may quote a row."""
    return type(error).__name__

"""The training set that a run kept, read back and checked against what the run recorded of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from streamflow.errors import StreamFlowError
from streamflow.mlflow_api import sdk
from streamflow.model_version import files
from streamflow.model_version.contract import Contract
from streamflow.model_version.fingerprint import fingerprint
from streamflow.model_version.training_set import LABEL
from streamflow.training.runtime import raw_rows
from streamflow.training.split import holdout_digest


class NotKeptError(StreamFlowError):
    """The run's training set is gone, cannot be read, or is not the one that it was trained on."""


@dataclass(frozen=True)
class Kept:
    """A training set with its split.

    Attributes:
        frame: Key, features and label, a row each.
        holdout: Whether each row was kept out of fitting.
    """

    frame: pd.DataFrame
    holdout: npt.NDArray[np.bool_]


def rows(fetch: Callable[[str], str], contract: Contract) -> pd.DataFrame:
    """The kept rows.

    Args:
        fetch: Gives the local path of one of the run's artifacts.

    Raises:
        NotKeptError: says what is wrong with them.
        DependencyDown: MLflow does not answer.
    """
    frame = _frame(fetch, files.ROWS)
    try:
        found = fingerprint_of(contract, frame)
    except Exception as error:
        # Whatever is in a file that is not the run's own.
        raise NotKeptError(
            f"{files.ROWS} does not have the rows of its contract ({_first(error)})"
        ) from error
    if found != contract.fingerprint:
        raise NotKeptError(
            f"{files.ROWS} is not the one it was trained on: its fingerprint is {found}, not {contract.fingerprint}"
        )
    return frame


def rows_and_split(fetch: Callable[[str], str], contract: Contract, split_digest: str) -> Kept:
    """The kept rows, and which of them are the holdout.

    Args:
        split_digest: As the run recorded it.

    Raises:
        NotKeptError: says what is wrong with them.
        DependencyDown: MLflow does not answer.
    """
    frame, split = rows(fetch, contract), _frame(fetch, files.SPLIT)
    keys = frame[contract.join_key].tolist()
    try:
        same = split[contract.join_key].tolist() == keys
        holdout = (split["part"] == "holdout").to_numpy(dtype=bool)
    except Exception as error:
        raise NotKeptError(f"{files.SPLIT} is no split of its rows ({_first(error)})") from error
    digest = holdout_digest([key for key, held in zip(keys, holdout, strict=False) if held])
    if not same or digest != split_digest:
        raise NotKeptError(f"{files.SPLIT} is not the one it was judged on: it names another holdout")
    return Kept(frame, holdout)


def fingerprint_of(contract: Contract, frame: pd.DataFrame) -> str:
    """Fingerprint of rows as a contract types them. Pure."""
    features = contract.features
    columns = [(contract.join_key, "string"), *((f.name, f.type) for f in features), (LABEL, "bool")]
    values = raw_rows(features, frame[[feature.name for feature in features]])
    labelled = zip(frame[contract.join_key].tolist(), values, frame[LABEL].tolist(), strict=True)
    return fingerprint(columns, [(key, *row, bool(label)) for key, row, label in labelled])


def _frame(fetch: Callable[[str], str], file: str) -> pd.DataFrame:
    held = sdk.artifact(fetch, f"{files.TRAINING_SET}/{file}")
    if held is None:
        raise NotKeptError(f"{file} is missing")
    try:
        return pd.read_parquet(io.BytesIO(held))
    except Exception as error:
        raise NotKeptError(f"{file} cannot be read ({_first(error)})") from error


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__

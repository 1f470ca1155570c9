"""What is left of a stored training set without the rows of erased entities. Pure."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from streamflow.model_version.contract import Contract
from streamflow.training.runtime import raw_rows
from streamflow.training.split import holdout_digest
from streamflow.training.stored import fingerprint_of


@dataclass(frozen=True)
class Left:
    """A training set without some entities.

    Attributes:
        gone: Number of rows that were removed.
        rows: The parquet file of the remaining rows.
        split: The parquet file of their split.
        fingerprint: Fingerprint of the remaining rows.
        split_digest: Digest of the remaining holdout.
        values: Values of the features in the removed rows, as golden rows store them.
        keys: Keys of the removed rows.
    """

    gone: int
    rows: bytes
    split: bytes
    fingerprint: str
    split_digest: str
    values: tuple[list[object], ...]
    keys: tuple[str, ...]


def without(contract: Contract, rows: bytes, split: bytes, erased: Callable[[str], bool]) -> Left | None:
    """Remove the rows of erased entities from both files of a training set; None if they have none.

    Args:
        contract: Contract of the model that was trained on it.
        rows: The file of the rows.
        split: The file of the split.
        erased: Whether an entity is erased.
    """
    key = contract.join_key
    frame, parts = pd.read_parquet(io.BytesIO(rows)), pd.read_parquet(io.BytesIO(split))
    gone = frame[key].map(erased).to_numpy(dtype=bool)
    gone_parts = parts[key].map(erased).to_numpy(dtype=bool)
    # A killed erasure may have replaced one file and not the other.
    if not gone.any() and not gone_parts.any():
        return None
    names = [feature.name for feature in contract.features]
    left, left_parts = frame[~gone], parts[~gone_parts]
    return Left(
        gone=int(gone_parts.sum() if gone_parts.any() else gone.sum()),
        rows=_parquet(left),
        split=_parquet(left_parts),
        fingerprint=fingerprint_of(contract, left),
        split_digest=holdout_digest(left_parts.loc[left_parts["part"] == "holdout", key].tolist()),
        values=tuple(raw_rows(contract.features, frame.loc[gone, names])),
        keys=tuple(frame.loc[gone, key]),
    )


def pinned(golden: bytes, left: Left) -> bool:
    """Whether the golden rows of a model have a row that was removed from its training set."""
    held = {json.dumps(row) for row in json.loads(golden).get("rows", [])}
    return any(json.dumps(values) in held for values in left.values)


def _parquet(frame: pd.DataFrame) -> bytes:
    target = io.BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()

"""Split a training set into training rows and a holdout, stratified by label and seeded. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from streamflow.errors import Refused

_PART_ROWS = 65_536
"""Keys that are texts of Python at a time."""


@dataclass(frozen=True)
class Split:
    """Row positions of the two parts of a training set, in ascending order.

    Attributes:
        train: Rows that estimators are chosen and fitted on.
        holdout: Rows that are used for evaluation only.
        digest: SHA-256 over the keys of the holdout.
    """

    train: npt.NDArray[np.int64]
    holdout: npt.NDArray[np.int64]
    digest: str


def split(keys: pd.Series[str], labels: npt.NDArray[np.bool_], *, holdout_share: float, seed: int) -> Split:
    """Split rows at random, with the same share of positives in both parts.

    Args:
        keys: Entity keys, one per row. The split depends on their order, so they must be sorted.
        labels: Labels, one per row.
        holdout_share: Share of the rows that goes to the holdout.
        seed: Seed of the random split.

    Raises:
        Refused: One class has too few rows.
    """
    smallest = min(int(labels.sum()), int((~labels).sum()))
    if smallest < 8:
        raise Refused(
            f"The training set has {len(labels)} rows, of which only {smallest} are of the rarer class; "
            "a model cannot be trained and judged on that.",
            hint="Train an as-of with more labels, or ingest more data.",
        )
    positions: Any = np.arange(len(labels))
    train, holdout = train_test_split(positions, test_size=holdout_share, stratify=labels, random_state=seed)
    train, holdout = np.sort(train), np.sort(holdout)
    return Split(train, holdout, holdout_digest(keys.iloc[holdout].tolist()))


def sample(keys: pd.Series[str], at: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Of more rows than `most`, the positions of those whose keys have the lowest SHA-256, in ascending order.

    Args:
        keys: Entity keys, one per row.
        at: Positions of the rows to choose from, in ascending order.
        most: Number of rows to choose; 0 takes all.
    """
    if not most or len(at) <= most:
        return at
    hashes = np.empty(len(at), dtype=np.uint64)
    for start in range(0, len(at), _PART_ROWS):
        part = slice(start, start + _PART_ROWS)
        hashes[part] = [_hash(key) for key in keys.iloc[at[part]].tolist()]
    # The sort is stable, so equal hashes would keep the order of the keys.
    return np.sort(at[np.argsort(hashes, kind="stable")[:most]])


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


def holdout_digest(keys: Sequence[str]) -> str:
    """Return the SHA-256 over the keys of a holdout, in the given order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()

"""Say whether months that `retention.months` dropped explain why a training set differs from the recorded one. Pure."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from streamflow.erasure.months import Forgotten
from streamflow.model_version.contract import Contract
from streamflow.model_version.training_set import LABEL, TrainingSet


def is_gone(contract: Contract, gone: Forgotten) -> bool:
    """Whether the months of a run's training set are gone."""
    return datetime.fromisoformat(contract.as_of) < gone.before


def explained(gone: Forgotten, contract: Contract, stored: TrainingSet | None, rebuilt: TrainingSet) -> str:
    """Why other rows than the run's are no sign of tampering; "" if the dropped months do not explain them.

    A run of a month that was kept may have values from an earlier one, which are absent now. They never change into
    other values, so those are a sign of tampering still.

    Args:
        gone: The months that are gone.
        contract: Contract of the model.
        stored: Training set that the run stored; None if there is none that can be trusted.
        rebuilt: Training set built again.
    """
    if is_gone(contract, gone):
        return f"Cannot tell: {gone.words}."
    if datetime.fromisoformat(contract.known_at) >= gone.recorded_at:
        return ""
    if stored is not None and not _only_absent(stored, rebuilt):
        return ""
    return f"Cannot tell: {gone.words} after this run, which may have had values of them."


def _only_absent(stored: TrainingSet, rebuilt: TrainingSet) -> bool:
    """Whether each value of a training set is that of another one, or absent."""
    then, now = (item.frame.astype({item.key: object}).set_index(item.key) for item in (stored, rebuilt))
    if not now.index.isin(then.index).all():
        return False
    then = then.loc[now.index]
    if not then[LABEL].astype(bool).equals(now[LABEL].astype(bool)):
        return False
    return all(_same_or_absent(then[feature.name], now[feature.name]) for feature in stored.features)


def _same_or_absent(then: pd.Series, now: pd.Series) -> bool:
    # As Python's own values: the types of columns differ between a file and a join.
    pairs = zip(then.astype(object), now.astype(object), strict=True)
    return all(bool(pd.isna(new)) or (not pd.isna(old) and old == new) for old, new in pairs)

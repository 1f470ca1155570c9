"""The figures of both models on the same rows, for the whole holdout and by slice. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from streamflow.gate import bootstrap
from streamflow.gate.facts import Compared, Figures, SliceFigures
from streamflow.repo import parts as slice_parts
from streamflow.training.evaluate import calibration_error


def compare(scored: pd.DataFrame, trained_on: set[str]) -> tuple[Compared | None, str]:
    """Compare both models on the rows that both may be judged on.

    Args:
        scored: `label`, `challenger` and `champion` per key; the champion's is NaN where it would refuse.
        trained_on: Keys of the rows that the champion was trained on.

    Returns:
        The comparison and "", or None and why there is none.
    """
    fair = scored[~scored.index.isin(trained_on)]
    both = fair[fair["champion"].notna()]
    labels = both["label"].to_numpy(dtype=bool)
    counts = {
        "rows": len(both),
        "positives": int(labels.sum()),
        "trained_on": len(scored) - len(fair),
        "not_served": len(fair) - len(both),
    }
    if not len(both):
        return None, (
            f"no row of its holdout is left to compare them on: of {len(scored)}, the champion was trained on"
            f" {counts['trained_on']} and would refuse {counts['not_served']}"
        )
    if counts["positives"] in (0, len(both)):
        return None, f"the {len(both)} rows that both may be judged on have labels of one class only"
    a, b = both["challenger"].to_numpy(), both["champion"].to_numpy()
    paired = bootstrap.paired_aucs(labels, a, b)
    compared = Compared(
        **counts,
        challenger=Figures(paired.challenger.estimate, calibration_error(labels, a), paired.challenger.low),
        champion=Figures(paired.champion.estimate, calibration_error(labels, b), paired.champion.low),
        difference=paired.difference.estimate,
        low=paired.difference.low,
        high=paired.difference.high,
    )
    return compared, ""


def slices(scored: pd.DataFrame, parts: Mapping[str, Mapping[str, str]]) -> tuple[SliceFigures, ...]:
    """The AUC by slice, and both models' AUC on the rows of the slice that both may be judged on.

    Args:
        scored: As in `compare`, with the champion's NaN also on the rows that it was trained on.
        parts: For each slice, the part that each key belongs to.
    """
    found = []
    for name, part_of in parts.items():
        owners = pd.Series([part_of.get(str(key), slice_parts.UNKNOWN) for key in scored.index])
        for value in sorted(owners.unique()):
            rows = scored[(owners == value).to_numpy()]
            labels = rows["label"].to_numpy(dtype=bool)
            common = rows[rows["champion"].notna()] if "champion" in rows else rows.head(0)
            both = _enough(common["label"].to_numpy(dtype=bool))
            found.append(
                SliceFigures(
                    slice=name,
                    value=value,
                    rows=len(rows),
                    positives=int(labels.sum()),
                    challenger_auc=_auc(rows, "challenger") if _enough(labels) else None,
                    champion_auc=_auc(common, "champion") if both else None,
                    common_rows=len(common),
                    common_auc=_auc(common, "challenger") if both else None,
                )
            )
    return tuple(found)


def _auc(rows: pd.DataFrame, model: str) -> float:
    return float(roc_auc_score(rows["label"].to_numpy(dtype=bool), rows[model].to_numpy()))


def _enough(labels: npt.NDArray[np.bool_]) -> bool:
    return slice_parts.enough(len(labels), int(labels.sum()))

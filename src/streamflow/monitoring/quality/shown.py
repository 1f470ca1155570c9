"""What is said about the quality of each month: one row a month and version, also where there is nothing to say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date
from typing import Any

from streamflow.monitoring.quality.figures import LEARNT
from streamflow.monitoring.quality.months import ESTIMATED, REALIZED

_FIGURES = ("auc", "log_loss", "brier", "precision", "recall", "f1", "profit", "rows")


@dataclass(frozen=True)
class MonthShown:
    """One month of one version.

    Attributes:
        as_of: The month.
        version: The version that scored it; None if none did.
        estimated: Figures estimated before labels, with `low` and `high` of the AUC; None if there are none.
        realized: Figures computed from labels, and the estimate's error; None if there are none yet.
        why: Why there are no realized figures; "" if there are.
    """

    as_of: date
    version: int | None
    estimated: dict[str, Any] | None
    realized: dict[str, Any] | None
    why: str


def shown(recorded: Iterable[Any], dates: Collection[date], as_of: date | None = None) -> list[MonthShown]:
    """One row for each month and version, oldest first.

    Args:
        recorded: Rows of `monitoring.quality`, one of each month, version and basis.
        dates: Dates of the loaded drops.
        as_of: The month to show; None shows all.
    """
    by_month: dict[tuple[date, int], dict[str, Any]] = {}
    for row in recorded:
        month = row.as_of.astimezone(UTC).date()
        by_month.setdefault((month, row.version), {})[row.basis] = row
    found = [_month(month, version, bases) for (month, version), bases in by_month.items()]
    silent = {*dates, *([as_of] if as_of else [])} - {month for month, _ in by_month}
    for month in silent:
        why = "no version scored this month" if month in dates else "no drop of this date is loaded"
        found.append(MonthShown(month, None, None, None, why))
    kept = [item for item in found if as_of is None or item.as_of == as_of]
    return sorted(kept, key=lambda item: (item.as_of, item.version or 0))


def _month(month: date, version: int, bases: dict[str, Any]) -> MonthShown:
    estimate, truth = bases.get(ESTIMATED), bases.get(REALIZED)
    why = "" if truth else "the labels of this month are not loaded yet"
    if truth and LEARNT in truth._mapping["detail"].get("why", {}).values():
        why = LEARNT
    return MonthShown(month, version, _figures(estimate), _figures(truth), why)


def _figures(row: Any | None) -> dict[str, Any] | None:
    if row is None:
        return None
    values = row._mapping
    found = {name: values[name] for name in _FIGURES}
    found |= {"low": values["auc_low"], "high": values["auc_high"]}
    said = ("assumes", "estimate_error", "scores_from", "below_holdout", "why")
    return found | {name: values["detail"][name] for name in said if name in values["detail"]}

"""The figures of one month: estimated from its scores, or realized with its labels. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from streamflow.monitoring.quality import cbpe, delong, losses
from streamflow.monitoring.quality.by_slice import Owners, by_slice
from streamflow.monitoring.quality.curve import LEAST_ROWS, calibration_curve
from streamflow.monitoring.quality.interval import Interval
from streamflow.repo.parts import LEAST_OF_A_CLASS

ASSUMES = "no concept drift: a score means the same as in training"
"""What an estimate takes for granted."""

NO_ROWS = "no row"

LEARNT = "the version was trained on these labels, so that they say nothing new; its holdout does"
"""Why the month of a training set has no realized figures."""


@dataclass(frozen=True)
class Scores:
    """Scores of one month, as they were given then.

    Attributes:
        probabilities: Probability of each row.
        predicted: Whether each row was predicted to be positive.
        labels: Label of each row.
        labelled: Whether each row has a label.
        owners: For each slice, the part that each row belongs to.
    """

    probabilities: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.bool_]
    labelled: npt.NDArray[np.bool_]
    owners: Mapping[str, Owners] = field(default_factory=dict)

    def with_labels(self) -> Scores:
        """The rows that have a label."""
        kept = self.labelled
        owners = {name: parts.of(kept) for name, parts in self.owners.items()}
        return Scores(self.probabilities[kept], self.predicted[kept], self.labels[kept], kept[kept], owners)


@dataclass(frozen=True)
class Worth:
    """What predictions are worth.

    Attributes:
        true_positive: Value of a positive prediction that is right; None if nobody said.
        false_positive: Cost of a positive prediction that is wrong; None if nobody said.
    """

    true_positive: float | None = None
    false_positive: float | None = None

    def profit(self, hits: float, false_alarms: float) -> float | None:
        """Value of the hits minus cost of the false alarms; None unless both are known."""
        if self.true_positive is None or self.false_positive is None:
            return None
        return hits * self.true_positive - false_alarms * self.false_positive


@dataclass(frozen=True)
class Figures:
    """Figures of one month on one basis; each is None where it is undefined, and `detail` says why.

    Attributes:
        rows: Number of rows.
        positives: Number of rows whose label is positive; None for an estimate.
        auc: Area under the ROC curve.
        log_loss: Log loss in nats.
        brier: Brier score.
        precision: Share of positive predictions that are right.
        recall: Share of positive labels that are found.
        f1: Harmonic mean of precision and recall.
        profit: Value of true positives minus cost of false positives.
        detail: Slices, the calibration curve, and why a figure is None.
    """

    rows: int
    positives: int | None
    auc: Interval | None
    log_loss: Interval | None
    brier: Interval | None
    precision: float | None
    recall: float | None
    f1: float | None
    profit: float | None
    detail: Mapping[str, Any]


def estimated(scores: Scores, worth: Worth) -> Figures:
    """Estimate the figures of a month from its scores alone."""
    p = scores.probabilities
    why: dict[str, str] = {}
    auc = cbpe.auc(p) if len(p) else None
    if auc is None:
        why["auc"] = NO_ROWS if not len(p) else "no pair of a positive and a negative is to be expected"
    auc = _without_interval(auc, len(p), float(p.sum()), why)
    slices = by_slice(scores.owners, p, lambda inside: cbpe.auc(p[inside]))
    detail = {"assumes": ASSUMES, "slices": [asdict(part) for part in slices]}
    counts = cbpe.counts(p, scores.predicted)
    log_loss, brier = (cbpe.log_loss(p), cbpe.brier(p)) if len(p) else (None, None)
    return Figures(len(p), None, auc, log_loss, brier, **_decisions(counts, worth, why, detail))


def realized(scores: Scores, worth: Worth) -> Figures:
    """Compute the figures of a month from the rows that have a label."""
    known = scores.with_labels()
    y, p = known.labels, known.probabilities
    positives = int(y.sum())
    why: dict[str, str] = {}
    area = delong.area(y, p)
    if area is None:
        why["auc"] = NO_ROWS if not len(y) else f"all {len(y)} labels are {'true' if positives else 'false'}"
    elif not area.variance:
        why["auc interval"] = "its variance cannot be estimated from these rows"
    auc = _without_interval(area.interval if area else None, len(y), positives, why)
    detail = {
        "unlabelled": len(scores.probabilities) - len(y),
        "calibration_curve": [asdict(part) for part in calibration_curve(y, p)],
        "slices": [asdict(part) for part in by_slice(known.owners, y.astype(float), _area_of(y, p))],
    }
    if len(y) < LEAST_ROWS:
        why["calibration_curve"] = f"fewer than {LEAST_ROWS} rows"
    log_loss, brier = (losses.log_loss(y, p), losses.brier(y, p)) if len(y) else (None, None)
    hits = float((y & known.predicted).sum())
    counts = hits, float(known.predicted.sum()) - hits, positives - hits
    return Figures(len(y), positives, auc, log_loss, brier, **_decisions(counts, worth, why, detail))


def learnt(scores: Scores) -> Figures:
    """What is said of a month whose labels the version has learnt: how many there are, and no figures."""
    known = scores.with_labels()
    none = dict.fromkeys(("auc", "log_loss", "brier", "precision", "recall", "f1", "profit"))
    unlabelled = len(scores.probabilities) - len(known.labels)
    detail = {
        "unlabelled": unlabelled,
        "why": dict.fromkeys(none, LEARNT),
        "calibration_curve": [],
        "slices": [],
    }
    return Figures(len(known.labels), int(known.labels.sum()), **none, detail=detail)


def errors(estimate: Figures, truth: Figures) -> dict[str, float | None]:
    """By how much an estimate was above what came true, by metric; None where one of both is undefined."""
    found: dict[str, float | None] = {}
    for name in ("auc", "log_loss", "brier"):
        said, came = getattr(estimate, name), getattr(truth, name)
        found[name] = said.value - came.value if said and came else None
    for name in ("precision", "recall", "f1", "profit"):
        said, came = getattr(estimate, name), getattr(truth, name)
        found[name] = said - came if said is not None and came is not None else None
    return found


def reference(holdout: Mapping[str, Any] | None) -> Interval | None:
    """AUC of a version on its holdout, with DeLong's interval.

    Args:
        holdout: The contract's holdout: among others `bins`, the numbers of positives and negatives in bins of equal
            width. An older contract has none.
    """
    bins = np.asarray((holdout or {}).get("bins") or np.empty((0, 2)), dtype=np.int64)
    if not bins.sum():
        return None
    places = np.arange(len(bins), dtype=np.float64)
    scores = np.concatenate([np.repeat(places, bins[:, 0]), np.repeat(places, bins[:, 1])])
    area = delong.area(np.arange(len(scores)) < bins[:, 0].sum(), scores)
    return area.interval if area else None


def below(auc: Interval | None, holdout: Interval | None) -> bool | None:
    """Whether an AUC lies below that of the holdout with its whole interval; None if an interval is missing."""
    if auc is None or auc.high is None or holdout is None or holdout.low is None:
        return None
    return auc.high < holdout.low


def _area_of(
    labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
) -> Callable[[npt.NDArray[np.bool_]], Interval | None]:
    def auc(inside: npt.NDArray[np.bool_]) -> Interval | None:
        area = delong.area(labels[inside], scores[inside])
        return area.interval if area else None

    return auc


def _without_interval(
    auc: Interval | None, rows: int, positives: float, why: dict[str, str]
) -> Interval | None:
    """An AUC; without its interval if the rarer class has too few rows for one."""
    if auc is None or min(positives, rows - positives) >= LEAST_OF_A_CLASS:
        return auc
    why["auc interval"] = f"fewer than {LEAST_OF_A_CLASS} rows of a class"
    return Interval(auc.value)


def _decisions(
    counts: tuple[float, float, float], worth: Worth, why: dict[str, str], detail: dict[str, Any]
) -> dict[str, Any]:
    """What follows from the numbers of true positives, false positives and false negatives, and the detail."""
    hits, false_alarms, missed = counts
    predicted, positive = hits + false_alarms, hits + missed
    if not predicted:
        why["precision"] = "no positive prediction"
    if not positive:
        why["recall"] = "no positive label"
    profit = worth.profit(hits, false_alarms)
    if profit is None:
        why["profit"] = "monitoring.value_of_true_positive or monitoring.cost_of_false_positive is not set"
    return {
        "precision": hits / predicted if predicted else None,
        "recall": hits / positive if positive else None,
        "f1": 2 * hits / (predicted + positive) if predicted + positive else None,
        "profit": profit,
        "detail": {**detail, "why": why},
    }

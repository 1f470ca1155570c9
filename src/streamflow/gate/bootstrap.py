"""Paired bootstrap of the difference of two AUCs on the same rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_CELLS = 4_000_000
"""Weights held in memory at a time."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its percentile interval.

    Attributes:
        estimate: The estimate on the rows as they are.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """The AUCs of two models on the same rows.

    Attributes:
        challenger: The challenger's.
        champion: The champion's.
        difference: The challenger's minus the champion's.
    """

    challenger: Interval
    champion: Interval
    difference: Interval


def auc_interval(
    labels: npt.NDArray[np.bool_],
    scores: Floats,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """AUC of one model with its bootstrap interval."""
    drawn = _drawn(labels, [scores], resamples, seed)[0]
    return _interval(_auc(labels, scores, np.ones((1, len(labels))))[0], drawn, level)


def paired_aucs(
    labels: npt.NDArray[np.bool_],
    challenger: Floats,
    champion: Floats,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """The AUCs of both models and the challenger's minus the champion's, each with its interval.

    Both models are judged on the same resampled rows (Efron and Tibshirani 1993, chapter 13), so what they have in
    common cancels out. Resamples keep the number of each class, so that every one of them has an AUC.

    Args:
        labels: True labels, one a row.
        challenger: The challenger's scores of the rows.
        champion: The champion's scores of the same rows.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.
        level: Share of the resamples that the interval covers.
    """
    ones = np.ones((1, len(labels)))
    a, b = _drawn(labels, [challenger, champion], resamples, seed)
    own, other = _auc(labels, challenger, ones)[0], _auc(labels, champion, ones)[0]
    return Paired(_interval(own, a, level), _interval(other, b, level), _interval(own - other, a - b, level))


def _interval(estimate: float, drawn: Floats, level: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high))


def _drawn(labels: npt.NDArray[np.bool_], scores: list[Floats], resamples: int, seed: int) -> list[Floats]:
    rng = np.random.default_rng(seed)
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    at_once = max(1, _CELLS // len(labels))
    parts: list[list[Floats]] = [[] for _ in scores]
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        weights = np.zeros((count, len(labels)))
        for group in (positives, negatives):
            weights[:, group] = rng.multinomial(len(group), np.full(len(group), 1 / len(group)), size=count)
        for part, values in zip(parts, scores, strict=True):
            part.append(_auc(labels, values, weights))
    return [np.concatenate(part) for part in parts]


def _auc(labels: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve per row of weights, shape (m, n) -> (m,): the weighted Mann-Whitney statistic."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * labels[order], starts, axis=1)
    negative = np.add.reduceat(ordered * ~labels[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    area: Floats = won / (positive.sum(axis=1) * negative.sum(axis=1))
    return area

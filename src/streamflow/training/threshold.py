"""Choose the threshold of a model from cross-validated probabilities of its training rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamflow.errors import Refused
from streamflow.settings.training import rule_of

_CURVE_POINTS = 99
"""Points of the curve that is kept."""

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Threshold:
    """A chosen threshold.

    Attributes:
        rule: The rule as it was written.
        value: The threshold.
        curve: What other thresholds would have given on the cross-validated rows, lowest first: the threshold, the
            precision, the recall, and the share of the rows that it selects.
    """

    rule: str
    value: float
    curve: tuple[tuple[float, float, float, float], ...]


def choose(text: str, labels: Labels, probabilities: Floats) -> Threshold:
    """Choose the threshold by a rule.

    A threshold lies halfway between two neighbouring probabilities, so that a last digit decides nothing. Of several that
    are equally good, the one that selects fewest rows is taken.

    Args:
        text: `f1`, `fbeta:B`, `precision:P` (the most recall with at least this precision), `recall:R` (the most
            precision with at least this recall), `top:SHARE` (this share of the rows), or a number.
        labels: Labels of the training rows.
        probabilities: Their probabilities, each by a fit that has not seen the row.

    Raises:
        ValueError: The text is not a rule.
        Refused: No threshold reaches the precision.
    """
    rule = rule_of(text)
    at, selected, hits = _cuts(labels, probabilities)
    precision = np.divide(hits, selected, out=np.zeros_like(hits), where=selected > 0)
    recall = hits / max(int(labels.sum()), 1)
    match rule.kind:
        case "fixed":
            value = rule.value
        case "top":
            value = float(at[np.argmin(np.abs(selected / len(labels) - rule.value))])
        case "precision":
            enough = precision >= rule.value
            if not enough.any():
                raise Refused(
                    f"No threshold gives a precision of {rule.value:g} in cross-validation; the highest is"
                    f" {precision.max():.3f}.",
                    hint="Ask for less in STREAMFLOW_TRAINING__THRESHOLD, or choose by another rule, such as f1.",
                )
            value = float(at[np.argmax(np.where(enough, recall, -1.0))])
        case "recall":
            value = float(at[np.argmax(np.where(recall >= rule.value, precision, -1.0))])
        case _:
            value = float(at[np.argmax(_fbeta(precision, recall, rule.value))])
    return Threshold(text, value, _curve(at, precision, recall, selected / len(labels)))


def _cuts(labels: Labels, probabilities: Floats) -> tuple[Floats, Floats, Floats]:
    """Every threshold that selects other rows, highest first: thresholds, rows selected, positives among these."""
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    selected = (last + 1).astype(np.float64)
    hits = np.cumsum(labels[order])[last].astype(np.float64)
    values = ordered[last]
    between = np.append((values[:-1] + values[1:]) / 2, values[-1] / 2)
    # A threshold lies between 0 and 1, so none selects a probability of 0.
    possible = values > 0
    if not possible.any():
        return np.array([0.5]), np.zeros(1), np.zeros(1)
    inside = np.clip(between, np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))
    return inside[possible], selected[possible], hits[possible]


def _fbeta(precision: Floats, recall: Floats, beta: float) -> Floats:
    """The F measure (van Rijsbergen 1979), 0 where nothing is found."""
    square = beta * beta
    below = square * precision + recall
    measure: Floats = np.divide(
        (1 + square) * precision * recall, below, out=np.zeros_like(below), where=below > 0
    )
    return measure


def _curve(
    at: Floats, precision: Floats, recall: Floats, share: Floats
) -> tuple[tuple[float, float, float, float], ...]:
    some = np.unique(np.linspace(0, len(at) - 1, min(len(at), _CURVE_POINTS)).round().astype(int))[::-1]
    return tuple((float(at[i]), float(precision[i]), float(recall[i]), float(share[i])) for i in some)

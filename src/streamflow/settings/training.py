"""Settings of training, and the rules by which a threshold is chosen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from streamflow.settings.section import Section

_RULES = "f1, fbeta:B (B > 0), precision:P, recall:R, top:SHARE (each between 0 and 1), or a number between 0 and 1"


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is chosen.

    Attributes:
        kind: `fbeta`, `precision`, `recall`, `top` or `fixed`.
        value: Beta, the precision or recall to reach, the share of rows, or the threshold itself.
    """

    kind: str
    value: float


def rule_of(text: str) -> ThresholdRule:
    """Read a rule.

    Raises:
        ValueError: The text is not a rule.
    """
    kind, colon, number = text.strip().partition(":")
    if kind == "f1" and not colon:
        return ThresholdRule("fbeta", 1.0)
    if not colon:
        kind, number = "fixed", kind
    try:
        value = float(number) if re.fullmatch(r"[0-9.eE+-]+", number) else float("nan")
    except ValueError:
        value = float("nan")
    below = float("inf") if kind == "fbeta" else 1.0
    if kind not in ("fbeta", "precision", "recall", "top", "fixed") or not 0 < value < below:
        raise ValueError(f"'{text}' is not a rule for a threshold; a rule is {_RULES}")
    return ThresholdRule(kind, value)


def _checked(value: Any) -> str:
    # YAML and JSON have numbers.
    text = str(value) if isinstance(value, int | float) else value
    rule_of(text)
    return str(text)


class TrainingSettings(Section):
    """How a model is trained."""

    seed: int = Field(42, ge=0)
    """Random seed of the split, the cross-validation and the estimators."""
    holdout_share: float = Field(0.25, gt=0, lt=1)
    """Share of rows held out of training, stratified by label."""
    folds: int = Field(5, ge=2)
    """Number of folds in the cross-validation that selects an estimator."""
    estimators: tuple[str, ...] = ("random_forest", "logistic_regression", "gradient_boosting")
    """Candidates from `feature_repo/estimator.py`; the one with the best cross-validated AUC is used."""
    forest_rows: int = Field(50_000, ge=0)
    """Most training rows that a forest learns from, since its trees grow with them; of more, it takes those whose keys
    have the lowest SHA-256. 0 takes all."""
    calibration: Literal["auto", "isotonic", "platt", "none"] = "auto"
    """Curve behind the classifier that makes its scores probabilities, fitted on cross-validated scores of the training
    rows; `auto` takes the one of `isotonic` and `platt` that is better calibrated in cross-validation, and `platt` when
    there are fewer than 1,000 rows."""
    threshold: Annotated[str, BeforeValidator(_checked)] = "f1"
    """How the probability is chosen at and above which the prediction is positive, from cross-validated predictions of
    the training rows: `f1` or `fbeta:B` (the best F measure), `precision:P` (the most recall with at least this
    precision), `recall:R` (the most precision with at least this recall), `top:SHARE` (this share of the rows), or a
    number."""
    golden_rows: int = Field(32, ge=1)
    """Number of made rows stored with the model, whose probabilities must be reproduced before it is served."""
    threads: int = Field(2, ge=1)
    """Number of threads used for fitting; it does not change the result."""

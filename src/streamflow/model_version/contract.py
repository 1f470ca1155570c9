"""The contract of a model version: its features, their maximum age, and its decision threshold.

Training writes the contract next to the estimator. The contract alone tells the predict service which features
to fetch and how to encode them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from streamflow import types
from streamflow.types import FeatureType

FORMAT = 1
"""Version of the JSON format; other formats are refused."""


@dataclass(frozen=True)
class Feature:
    """One feature of a model.

    Attributes:
        name: Name of the column in the feature view.
        view: Name of the feature view.
        type: Type of the values.
        nullable: Whether null is a valid value ("not applicable") that the model was trained on. A row with a null in
            any other feature gets no prediction.
        categories: All values that a string feature may have; empty for other types.
    """

    name: str
    view: str
    type: FeatureType
    nullable: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """A feature view that the model reads.

    Attributes:
        name: Name of the view and of its online table.
        max_age_seconds: Maximum age of its values, in seconds; None for no limit.
    """

    name: str
    max_age_seconds: float | None = None


@dataclass(frozen=True)
class Contract:
    """Everything about a model version except its weights.

    Attributes:
        model: Name of the registered model.
        feature_service: Name of the feature service that defines the features.
        join_key: Name of the entity's key column.
        features: Schema of the features, in the order that the model takes them.
        views: Feature views of the features.
        threshold: Lowest probability that counts as a positive prediction.
        threshold_rule: How the threshold was chosen; empty in a contract of an earlier release, whose owner chose it.
        threshold_curve: What other thresholds would have given in cross-validation: threshold, precision, recall and
            share of the rows.
        calibration: Curve behind the classifier: `isotonic`, `platt` or `none`.
        label: Table, column, horizon and as-of of the label.
        estimator: Name of the estimator in the feature repo.
        as_of: As-of of the training set, in ISO 8601.
        known_at: Known-at of the training set, in ISO 8601.
        fingerprint: Fingerprint of the training set.
        drops: Ids of the drops that the training could see.
        learned_rows: Training rows that the estimator learned from, which may be a sample; None in a contract of an
            earlier release, whose estimator learned from all.
        holdout: Counts of the holdout's scores by label, and its losses; empty in a contract of an earlier release.
        statistics: Statistics of each feature in the training rows, the reference for drift.
        runtime: Name and version of the runtime that the estimator was compared with, the number of rows compared,
            and the largest difference.
    """

    model: str
    feature_service: str
    join_key: str
    features: tuple[Feature, ...]
    views: tuple[View, ...]
    threshold: float
    label: dict[str, Any]
    estimator: str
    as_of: str
    known_at: str
    fingerprint: str
    drops: tuple[str, ...] = ()
    learned_rows: int | None = None
    threshold_rule: str = ""
    threshold_curve: tuple[tuple[float, float, float, float], ...] = ()
    calibration: str = "none"
    holdout: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    def to_json(self) -> str:
        """Return the contract as JSON with sorted keys, so that equal contracts give equal text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Parse and validate a contract.

        Raises:
            ValueError: The text is not a contract, or its format is unknown to this version.
        """
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ValueError("unknown contract format")
            # Strict validation of Python objects refuses a list where a tuple is declared. Strict validation of JSON
            # accepts it, and still refuses a string where a number is declared.
            contract = _READER.validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"not a model contract: {at}: {first['msg']}") from error
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a model contract: {error}") from error
        for problem in _problems(contract):
            raise ValueError(f"not a model contract: {problem}")
        return contract


def unreadable_features(
    contract: Contract, online: Mapping[str, Mapping[str, str]]
) -> list[tuple[Feature, str | None]]:
    """Find the features whose column in the online tables is missing or has the wrong type. Pure.

    Args:
        contract: Contract of the model version.
        online: SQL type of each column, by feature view.

    Returns:
        Each such feature with the type of its column, or with None if the column is missing.
    """
    found = [(feature, online.get(feature.view, {}).get(feature.name)) for feature in contract.features]
    return [(feature, kind) for feature, kind in found if kind not in types.of(feature.type).postgres]


_READER = TypeAdapter(Contract)


def _problems(contract: Contract) -> list[str]:
    """List violations of the rules that types cannot express, one clause each. Pure."""
    names, views = contract.feature_names, {view.name for view in contract.views}
    problems = []
    if not names or len(set(names)) < len(names):
        problems.append("it has no features, or two with the same name")
    if unlisted := {feature.view for feature in contract.features} - views:
        problems.append(f"it has features of views that it does not list: {', '.join(sorted(unlisted))}")
    if any(feature.type == "string" and not feature.categories for feature in contract.features):
        problems.append("a string feature has no categories")
    if not 0 < contract.threshold < 1:
        problems.append(f"its threshold is {contract.threshold}, not between 0 and 1")
    ages = [view.max_age_seconds for view in contract.views if view.max_age_seconds is not None]
    if any(not math.isfinite(age) or age <= 0 for age in ages):
        problems.append("a maximum age is not a positive number of seconds")
    return problems


def drops_digest(drops: Sequence[Mapping[str, str]]) -> str:
    """Return one SHA-256 over the ids and digests of drops, in the given order. Pure.

    Args:
        drops: Id (`drop_id`) and `digest` of each drop.
    """
    lines = "".join(f"{drop['drop_id']} {drop['digest']}\n" for drop in drops)
    return hashlib.sha256(lines.encode()).hexdigest()

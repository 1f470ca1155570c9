"""The contract of a model version: its features, their maximum age, and its decision threshold.

Training writes the contract beside the estimator. The predict service reads it, and needs nothing else to
know which features to fetch and how to encode them.
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


@dataclass(frozen=True)
class Feature:
    """One feature of a model, in the order the model takes them.

    Attributes:
        name: Column name in the feature view.
        view: Feature view it belongs to.
        type: Its type.
        nullable: Whether absence has a meaning ("not applicable") that the model was trained on.
        categories: Every value a string feature may have; empty for other types.
    """

    name: str
    view: str
    type: FeatureType
    nullable: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """A feature view as the model needs it.

    Attributes:
        name: Name of the view, which is also its online table.
        max_age_seconds: Largest age of its values; None means any.
    """

    name: str
    max_age_seconds: float | None = None


@dataclass(frozen=True)
class Contract:
    """Everything about a model version except its weights.

    Attributes:
        model: Registered model name.
        feature_service: Feature service the features come from.
        join_key: Name of the entity's key.
        features: Ordered feature schema.
        views: The feature views behind them.
        threshold: Probability from which the prediction is positive.
        label: Table, column and horizon of the label.
        estimator: Name of the estimator in the feature repo.
        as_of: As-of of the training set, ISO 8601.
        known_at: Known-at of the training set, ISO 8601.
        fingerprint: Fingerprint of the training set.
        drops: Ids of the drops it was read from.
        statistics: Per feature: training statistics, the reference of drift tests.
        runtime: Runtime that was checked against the estimator, and the largest difference seen.
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
    statistics: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features in order."""
        return tuple(feature.name for feature in self.features)

    def to_json(self) -> str:
        """The contract as JSON, stable in order."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read a contract.

        Raises:
            ValueError: The text is not a contract, or its format is unknown to this version.
        """
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ValueError("unknown contract format")
            # As JSON, since strictness then takes a list for a tuple but no text for a number.
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
    """Features whose column in the online tables is missing or of the wrong type. Pure.

    Args:
        contract: Contract of the model version.
        online: SQL type per column, per feature view.

    Returns:
        Each such feature with its column's type; None if the column is missing.
    """
    found = [(feature, online.get(feature.view, {}).get(feature.name)) for feature in contract.features]
    return [(feature, kind) for feature, kind in found if kind not in types.of(feature.type).postgres]


_READER = TypeAdapter(Contract)


def _problems(contract: Contract) -> list[str]:
    """Violations of the rules that types cannot express, one clause each. Pure."""
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
    """SHA-256 over the ids and digests of drops, in their order: one value for a list of any length. Pure."""
    lines = "".join(f"{drop['drop_id']} {drop['digest']}\n" for drop in drops)
    return hashlib.sha256(lines.encode()).hexdigest()

"""Contribution of each feature to a probability: sampled Shapley values against one reference row.

Features change one after another from the reference's values to the entity's. Each is credited with the change of the
served model's output, averaged over several seeded orders, each also taken backwards. Along every order the changes add
up to the whole difference, so the averages do too.

Source: Castro, Gómez, Tejada (2009), Polynomial calculation of the Shapley value based on sampling, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamflow.model_version.contract import Contract, Feature
from streamflow.release import Release

_PAIRS = 16
_SEED = 0


@dataclass(frozen=True)
class Explanation:
    """Contributions of the features to one probability.

    Attributes:
        reference: Reference row: the median or the most frequent value of each feature in the training rows.
        reference_probability: Probability of the reference.
        contributions: Contribution of each feature, in the contract's order; with the reference's probability they add up
            to the entity's.
    """

    reference: dict[str, Any]
    reference_probability: float
    contributions: dict[str, float]


def explain(release: Release, values: Sequence[Any]) -> Explanation:
    """Explain the served model's probability for one complete row of feature values.

    Raises:
        UnknownCategoryError: The model does not know a value.
    """
    contract = release.contract
    reference = reference_row(contract)
    count = len(reference)
    random = np.random.default_rng(_SEED)
    orders = [order for _ in range(_PAIRS) for order in _both_ways(random.permutation(count))]
    rows: list[list[Any]] = []
    for order in orders:
        row = list(reference)
        rows.append(list(row))
        for feature in order:
            row[feature] = values[feature]
            rows.append(list(row))
    probabilities = release.probabilities(rows).reshape(len(orders), count + 1)
    changes = np.zeros(count)
    for order, along in zip(orders, probabilities, strict=True):
        changes[order] += np.diff(along)
    return Explanation(
        dict(zip(contract.feature_names, reference, strict=True)),
        float(probabilities[0, 0]),
        dict(zip(contract.feature_names, (changes / len(orders)).tolist(), strict=True)),
    )


def _both_ways(order: Any) -> tuple[Any, Any]:
    return order, order[::-1]


def reference_row(contract: Contract) -> list[Any]:
    """Reference row of a model: typical values by the contract's statistics."""
    return [_typical(feature, contract.statistics.get(feature.name, {})) for feature in contract.features]


def _typical(feature: Feature, statistics: dict[str, Any]) -> Any:
    absent = statistics.get("absent", 0)
    if feature.type in ("int", "float"):
        if 2 * absent > statistics.get("rows", 0):
            return None
        # Too few values have no deciles.
        median = statistics.get("deciles", [0] * 11)[5]
        return round(median) if feature.type == "int" else median
    counts = statistics.get("counts", {})
    if not counts:
        return feature.categories[0] if feature.type == "string" else 0
    value = max(sorted(counts), key=counts.__getitem__)
    if feature.nullable and absent > counts[value]:
        return None
    if feature.type == "string":
        return value
    return value in ("True", "1.0", "1")

"""Read the online features of entities from Feast's online store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamflow.features.store import applied, open_store
from streamflow.features.training_set import feature_schema
from streamflow.model_version.contract import Feature
from streamflow.postgres.engine import translated
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings


def read(
    database: DatabaseSettings, repo: FeatureRepo, keys: Sequence[str]
) -> tuple[tuple[Feature, ...], dict[str, list[Any]]]:
    """Read the features of the feature service for entities.

    Args:
        database: How to connect to PostgreSQL.
        repo: Definitions of the features.
        keys: Keys of the entities.

    Returns:
        The features, and the values of each by its name, in the order of `keys`; None where the online store has none.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        UsageError: Feast's registry does not contain these features.
    """
    features, _ = feature_schema(repo)
    if not keys:
        return features, {feature.name: [] for feature in features}
    references = [f"{feature.view}:{feature.name}" for feature in features]
    with translated(database), applied():
        answer = open_store(database, repo.path).get_online_features(
            features=references, entity_rows=[{repo.join_key: key} for key in keys]
        )
    found = answer.to_dict()
    return features, {feature.name: found[feature.name] for feature in features}

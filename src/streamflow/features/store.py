"""Open Feast's feature store, and apply the definitions in `feature_repo/` to its registry."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from feast import FeatureStore
from feast.errors import FeatureViewNotFoundException
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

from streamflow.errors import UsageError
from streamflow.features.online_values import column_type
from streamflow.postgres import catalog
from streamflow.postgres.names import ONLINE
from streamflow.repo import feast_config
from streamflow.repo.definitions import FeatureRepo
from streamflow.repo.snapshots import snapshots_of
from streamflow.settings import DatabaseSettings


@dataclass(frozen=True)
class Applied:
    """Contents of Feast's registry after an apply, by name.

    Attributes:
        project: Feast project.
        feature_views: Feature views that the registry contains.
        feature_services: Feature services that the registry contains.
        removed: Objects that the apply removed from the registry.
        moved: Feature views that read other snapshots than before.
    """

    project: str
    feature_views: tuple[str, ...]
    feature_services: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...]


def open_store(
    database: DatabaseSettings,
    repo_folder: Path,
    *,
    db_schema: str | None = None,
    engine: feast_config.Engine = "postgresql",
) -> FeatureStore:
    """Open Feast's feature store.

    Args:
        database: How to connect to PostgreSQL.
        repo_folder: Folder of the feature repo.
        db_schema: Schema of the snapshots that the offline store reads; None keeps the configured one.
        engine: What reads snapshots.
    """
    return FeatureStore(config=feast_config.read(repo_folder, database, db_schema=db_schema, engine=engine))


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Translate what Feast raises if its registry does not contain the features of the repo.

    Raises:
        UsageError: The registry does not contain them.
    """
    try:
        yield
    except (KeyError, FeatureViewNotFoundException) as error:
        raise UsageError(
            f"The feature repo has not been applied as it is now: {error}",
            hint="Run 'streamflow features apply', then this again.",
        ) from error


def apply(database: DatabaseSettings, repo: FeatureRepo) -> Applied:
    """Bring Feast's registry and the online tables in line with the repo."""
    store = open_store(database, repo.path)
    wanted: list[Any] = [*repo.entities, *repo.data_sources, *repo.feature_views, *repo.feature_services]
    gone = _gone(store, repo)
    before = {view.name: snapshots_of(view) for view in store.list_feature_views()}
    with _comparing_tables():
        # Feast ignores `objects_to_delete` unless `partial` is False.
        store.apply(wanted, objects_to_delete=gone, partial=False)
    return Applied(
        project=store.project,
        feature_views=tuple(view.name for view in repo.feature_views),
        feature_services=tuple(service.name for service in repo.feature_services),
        removed=tuple(item.name for item in gone),
        moved=tuple(
            view.name
            for view in repo.feature_views
            if before.get(view.name, now := snapshots_of(view)) != now
        ),
    )


def contradictions(connection: sa.Connection, repo: FeatureRepo) -> list[str]:
    """Describe columns of online tables that were created with another type than their feature has now."""
    existing = catalog.columns(connection, ONLINE)
    return [
        f"{ONLINE}.{view.name}.{feature.name} is {held}, and feature_views.py declares {wanted}"
        for view in repo.feature_views
        for feature in view.features
        if (held := existing.get(view.name, {}).get(feature.name))
        and held != (wanted := catalog.type_name(connection, column_type(feature.dtype)))
    ]


@contextlib.contextmanager
def _comparing_tables() -> Iterator[None]:
    """Let Feast see that a source reads another table: it leaves `table` out when it compares two sources.

    Without this, a changed `table=` changes nothing in the registry, neither in the source nor in its feature views.
    """
    feasts = PostgreSQLSource.__eq__

    def equal(mine: PostgreSQLSource, other: object) -> bool:
        return (
            bool(feasts(mine, other))
            and isinstance(other, PostgreSQLSource)
            and mine.get_table_query_string() == other.get_table_query_string()
        )

    PostgreSQLSource.__eq__ = equal
    try:
        yield
    finally:
        PostgreSQLSource.__eq__ = feasts


def _gone(store: FeatureStore, repo: FeatureRepo) -> list[Any]:
    listed = [
        (store.list_feature_services(), repo.feature_services),
        (store.list_feature_views(), repo.feature_views),
        (store.list_data_sources(), repo.data_sources),
        # Feast adds the entity `__dummy` itself, for feature views without an entity.
        ([entity for entity in store.list_entities() if entity.name != "__dummy"], repo.entities),
    ]
    return [
        item for held, kept in listed for item in held if item.name not in {wanted.name for wanted in kept}
    ]

"""What the kit asks of a Feast back end: an adapter implements `Backend`, and its store is then put to the tests."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.data_source import DataSource
from feast.types import Bool, Float64, Int64, String

KEY, EVENT, CREATED = "key", "happened_at", "created_at"
"""Columns of every table, apart from its features: the join key, the event timestamp and the created timestamp."""
FEATURES = {"number": Int64, "amount": Float64, "flag": Bool, "word": String}
"""Features of every table, with their types."""
ENTITY = Entity(name="thing", join_keys=[KEY], value_type=ValueType.STRING)


class Opened(ABC):
    """A feature store of the back end over the tables of one test."""

    store: FeatureStore

    @abstractmethod
    def source(self, table: str) -> DataSource:
        """Feast's data source of a table, with EVENT as its timestamp and CREATED as its created timestamp."""

    @abstractmethod
    def failing_writes(self, view: str) -> contextlib.AbstractContextManager[None]:
        """Let every write of a view's values to the online store fail inside the `with` block."""

    def watermark(self, view: str) -> datetime | None:
        """Up to which time a view counts as materialized; None before the first time."""
        made = self.store.get_feature_view(view)
        return made.most_recent_end_time

    def online(self, view: str, keys: list[str]) -> dict[str, tuple[object, ...]]:
        """Values of a view in the online store, by key, in the order of FEATURES."""
        answer = self.store.get_online_features(
            features=[f"{view}:{name}" for name in FEATURES], entity_rows=[{KEY: key} for key in keys]
        ).to_dict()
        return dict(zip(keys, zip(*(answer[name] for name in FEATURES), strict=True), strict=True))


class Backend(ABC):
    """A Feast back end: an offline store, a batch engine and an online store that work together."""

    name: str

    @abstractmethod
    def open(
        self, folder: Path, tables: Mapping[str, pd.DataFrame], known_at: datetime | None = None
    ) -> contextlib.AbstractContextManager[Opened]:
        """Load tables and open a store over them, with an empty registry and an empty online store.

        Args:
            folder: A new, empty folder.
            tables: Rows of each table, by name, with the columns KEY, EVENT, CREATED and FEATURES.
            known_at: If given, sources show only rows created up to this time.
        """


def view_of(name: str, source: DataSource, ttl) -> FeatureView:
    """A feature view of all features; None has no ttl."""
    return FeatureView(
        name=name,
        entities=[ENTITY],
        ttl=ttl,
        schema=[Field(name=KEY, dtype=String), *(Field(name=n, dtype=t) for n, t in FEATURES.items())],
        source=source,
    )


@contextlib.contextmanager
def opened(backend: Backend, folder: Path, tables, ttls, known_at=None) -> Iterator[Opened]:
    """A store in which each table has a feature view of the same name, with a ttl."""
    with backend.open(folder, tables, known_at) as made:
        views = [view_of(name, made.source(name), ttls.get(name)) for name in tables]
        made.store.apply([ENTITY, *(made.source(name) for name in tables), *views])
        yield made

"""Load a feature repo and check that its parts are consistent.

Importing Feast or scikit-learn takes seconds of CPU time. Files that need them are therefore imported on
first use: an ingest, for example, needs only the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamflow.errors import UsageError
from streamflow.repo.declarations import Label, Slice, SourceTable, source_table
from streamflow.repo.modules import DECLARATIONS, DEFINITIONS, check_files, modules_of

if TYPE_CHECKING:
    from feast import Entity, FeatureService, FeatureView
    from feast.data_source import DataSource


@dataclass(frozen=True)
class FeatureRepo:
    """A loaded feature repo.

    Attributes:
        path: Folder of the repo.
        tables: Declared source tables.
        label: What the model predicts.
        feature_service_name: Name of the feature service that the model uses.
        slices: Columns by which the gate splits the entities.
    """

    path: Path
    tables: tuple[SourceTable, ...]
    label: Label
    feature_service_name: str
    slices: tuple[Slice, ...] = ()

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Feast's entities. A repo defines exactly one."""
        return _feast_objects(self.path).entities

    @property
    def data_sources(self) -> tuple[DataSource, ...]:
        """Feast's data sources."""
        return _feast_objects(self.path).data_sources

    @property
    def feature_views(self) -> tuple[FeatureView, ...]:
        """Feast's feature views."""
        return _feast_objects(self.path).feature_views

    @property
    def feature_services(self) -> tuple[FeatureService, ...]:
        """Feast's feature services."""
        return _feast_objects(self.path).feature_services

    @property
    def estimators(self) -> dict[str, Callable[[int], Any]]:
        """Factories of unfitted estimators, by name. Each takes a random seed."""
        with modules_of(self.path, ("estimator",)) as modules:
            return dict(modules["estimator"].ESTIMATORS)

    @property
    def simulate(self) -> Callable[..., Any] | None:
        """The function that generates simulated drops, or None if the repo has no simulation."""
        with modules_of(self.path, ("simulation",)) as modules:
            return getattr(modules.get("simulation"), "simulate", None)

    @property
    def join_key(self) -> str:
        """Join key of the repo's one entity."""
        return str(self.entities[0].join_key)

    @property
    def entity_table(self) -> SourceTable:
        """The table that defines which entities exist."""
        return next(table for table in self.tables if table.entities)

    @property
    def label_table(self) -> SourceTable:
        """The source table of the label."""
        return self.table(self.label.table)

    @property
    def feature_service(self) -> FeatureService:
        """The feature service that the model uses."""
        return next(item for item in self.feature_services if item.name == self.feature_service_name)

    def table(self, name: str) -> SourceTable:
        """Return a source table by name.

        Raises:
            UsageError: The table does not exist.
        """
        for table in self.tables:
            if table.name == name:
                return table
        raise UsageError(
            f"There is no source table '{name}'.", hint=f"Tables: {', '.join(t.name for t in self.tables)}."
        )

    def view(self, name: str) -> FeatureView:
        """Return a feature view by name; raises `KeyError` if it does not exist."""
        return {view.name: view for view in self.feature_views}[name]

    def table_of_view(self, view: FeatureView) -> SourceTable:
        """Return the source table whose snapshots a feature view reads."""
        return next(table for table in self.tables if table.snapshots == view.batch_source.name)

    def with_horizon(self, horizon: int | None) -> FeatureRepo:
        """Return a copy of the repo with another label horizon; None keeps the declared one.

        Raises:
            UsageError: The horizon is negative.
        """
        if horizon is None:
            return self
        if horizon < 0:
            raise UsageError(f"A label horizon of {horizon} is not possible.", hint="Give 0 or more drops.")
        return replace(self, label=replace(self.label, horizon=horizon))


def load(folder: Path) -> FeatureRepo:
    """Load the feature repo in a folder.

    Raises:
        UsageError: The folder is not a feature repo, or its definitions are invalid.
    """
    return _load(folder.resolve())


@lru_cache(maxsize=4)
def _load(path: Path) -> FeatureRepo:
    check_files(path)
    with modules_of(path, DECLARATIONS) as modules:
        label = modules["label"]
        repo = FeatureRepo(
            path=path,
            tables=tuple(source_table(schema) for schema in modules["tables"].TABLES),
            label=Label(table=label.TABLE, column=label.COLUMN, horizon=label.HORIZON),
            feature_service_name=label.FEATURE_SERVICE,
            slices=tuple(
                Slice(name, item["table"], item["column"], tuple(item.get("bands", ())))
                for name, item in getattr(modules.get("slices"), "SLICES", {}).items()
            ),
        )
    _refuse(path, _declaration_problems(repo))
    return repo


@dataclass(frozen=True)
class _FeastObjects:
    """The Feast objects that the files of a feature repo define."""

    entities: tuple[Entity, ...]
    data_sources: tuple[DataSource, ...]
    feature_views: tuple[FeatureView, ...]
    feature_services: tuple[FeatureService, ...]


@lru_cache(maxsize=4)
def _feast_objects(path: Path) -> _FeastObjects:
    from streamflow.repo.quick_feast import feast

    with modules_of(path, DEFINITIONS) as modules:
        # By identity: files import each other's objects, so one object appears in several modules.
        objects = {id(value): value for module in modules.values() for value in vars(module).values()}

    def of(kind: type) -> tuple[Any, ...]:
        return tuple(value for value in objects.values() if isinstance(value, kind))

    defined = _FeastObjects(
        entities=of(feast.Entity),
        data_sources=of(feast.data_source.DataSource),
        feature_views=of(feast.FeatureView),
        feature_services=of(feast.FeatureService),
    )
    _refuse(path, _feast_problems(_load(path), defined))
    return defined


def _declaration_problems(repo: FeatureRepo) -> list[str]:
    problems = []
    if sum(table.entities for table in repo.tables) != 1:
        problems.append("exactly one source table must be declared with entities=True")
    tables = {table.name: table for table in repo.tables}
    if repo.label.table not in tables:
        problems.append(f"label.py names the table '{repo.label.table}', which does not exist")
    problems += [
        f"slices.py names '{item.table}.{item.column}', which does not exist"
        for item in repo.slices
        if item.table not in tables or item.column not in tables[item.table].column_names
    ]
    return problems


def _feast_problems(repo: FeatureRepo, defined: _FeastObjects) -> list[str]:
    problems = []
    if len(defined.entities) != 1:
        problems.append(f"it defines {len(defined.entities)} entities; exactly one is supported")
    if repo.feature_service_name not in {item.name for item in defined.feature_services}:
        problems.append(
            f"label.py names the feature service '{repo.feature_service_name}', which does not exist"
        )
    snapshots = {table.snapshots for table in repo.tables}
    for view in defined.feature_views:
        if view.batch_source.name not in snapshots:
            problems.append(
                f"feature view '{view.name}' reads '{view.batch_source.name}', which no table declares"
            )
            continue
        columns = {column.name for column in repo.table_of_view(view).columns}
        problems += [
            f"feature view '{view.name}' has the feature '{feature.name}', which its table lacks"
            for feature in view.features
            if feature.name not in columns
        ]
    return problems


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        raise UsageError(
            f"The parts of the feature repo {path} do not fit together.", details=tuple(problems)
        )

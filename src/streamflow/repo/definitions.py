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
from streamflow.repo import problems, words
from streamflow.repo.declarations import Label, Slice, SourceTable, slices_of, source_table
from streamflow.repo.modules import DECLARATIONS, DEFINITIONS, check_files, modules_of
from streamflow.repo.problems import Problem
from streamflow.repo.snapshots import snapshots_of
from streamflow.repo.words import Words

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
    def words(self) -> Words:
        """What one entity is called, and several."""
        return self.entity_table.words or words.of_key(self.entity_table.key)

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
        return next(table for table in self.tables if table.snapshots == snapshots_of(view))

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


class UnfitRepoError(UsageError):
    """The parts of a feature repo do not fit together.

    Args:
        path: Folder of the repo.
        found: What does not fit.
        repo: The repo, if its declarations could be read.
    """

    def __init__(self, path: Path, found: list[Problem], repo: FeatureRepo | None = None) -> None:
        super().__init__(
            f"The parts of the feature repo {path} do not fit together.",
            details=tuple(str(problem) for problem in found),
            hint="Correct it there; 'streamflow features check' checks it without a database.",
        )
        self.problems = found
        self.repo = repo


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
        if found := problems.of_modules(path, modules["tables"], label, modules.get("slices")):
            raise UnfitRepoError(path, found)
        repo = FeatureRepo(
            path=path,
            tables=tuple(source_table(schema) for schema in modules["tables"].TABLES),
            label=Label(table=label.TABLE, column=label.COLUMN, horizon=label.HORIZON),
            feature_service_name=label.FEATURE_SERVICE,
            slices=slices_of(getattr(modules.get("slices"), "SLICES", ())),
        )
    if found := problems.of_declarations(repo):
        raise UnfitRepoError(path, found, repo)
    return repo


@dataclass(frozen=True)
class FeastObjects:
    """The Feast objects that the files of a feature repo define."""

    entities: tuple[Entity, ...]
    data_sources: tuple[DataSource, ...]
    feature_views: tuple[FeatureView, ...]
    feature_services: tuple[FeatureService, ...]


def feast_problems(repo: FeatureRepo) -> list[Problem]:
    """What does not fit between Feast's definitions and the declarations of a repo.

    Raises:
        UsageError: A file cannot be imported.
    """
    return problems.of_feast(repo, _defined(repo.path))


@lru_cache(maxsize=4)
def _feast_objects(path: Path) -> FeastObjects:
    defined = _defined(path)
    if found := problems.of_feast(_load(path), defined):
        raise UnfitRepoError(path, found)
    return defined


@lru_cache(maxsize=4)
def _defined(path: Path) -> FeastObjects:
    from streamflow.repo.quick_feast import feast

    with modules_of(path, DEFINITIONS) as modules:
        # By identity: files import each other's objects, so one object appears in several modules.
        objects = {id(value): value for module in modules.values() for value in vars(module).values()}

    def of(kind: type) -> tuple[Any, ...]:
        return tuple(value for value in objects.values() if isinstance(value, kind))

    return FeastObjects(
        entities=of(feast.Entity),
        data_sources=of(feast.data_source.DataSource),
        feature_views=of(feast.FeatureView),
        feature_services=of(feast.FeatureService),
    )

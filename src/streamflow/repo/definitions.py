"""The one way to read `feature_repo/`: source tables, entity, feature views, label, estimators.

Importing Feast or scikit-learn costs seconds of CPU, so the parts that need them are read when they are first
asked for: an ingest needs the tables alone.
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import pandera.pandas as pa
import yaml

from streamflow.errors import UsageError
from streamflow.repo.modules import DECLARATIONS, DEFINITIONS, check_files, modules_of
from streamflow.settings import URL_PASSWORD, Settings

if TYPE_CHECKING:
    from feast import Entity, FeatureService, FeatureView
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

ColumnType = Literal["int", "float", "bool", "string", "date"]
NullMeaning = Literal["", "missing", "not_applicable"]

_TYPES: dict[str, ColumnType] = {
    "Int64": "int",
    "Float64": "float",
    "boolean": "bool",
    "string[python]": "string",
    "string": "string",
    "datetime64[ns]": "date",
}


@dataclass(frozen=True)
class Column:
    """One column of a source table.

    Attributes:
        name: Its name, in the CSV header and in PostgreSQL.
        type: Its type.
        null: What an empty cell means: "" an error, "missing" unknown, "not_applicable" a value of its own.
        categories: The values a string column may have, when the checks list them.
    """

    name: str
    type: ColumnType
    null: NullMeaning = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceTable:
    """One source table: a CSV file of a drop, a table in schema `source`, a view of snapshots.

    Attributes:
        name: Table name and stem of the CSV file.
        key: The entity's key column.
        columns: The other columns, in order.
        snapshots: Name of the view that Feast reads.
        entities: Whether this table says which entities exist.
        schema: The pandera schema that checks a chunk of rows.
    """

    name: str
    key: str
    columns: tuple[Column, ...]
    snapshots: str
    entities: bool
    schema: pa.DataFrameSchema

    @property
    def column_names(self) -> tuple[str, ...]:
        """Key first, then the columns: the header of the CSV file."""
        return (self.key, *(column.name for column in self.columns))

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if there is none."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Label:
    """What is predicted.

    Attributes:
        table: Source table of the label.
        column: Its boolean column.
        horizon: Which drop's label: 0 the drop's own, n the n-th next drop's.
    """

    table: str
    column: str
    horizon: int


@dataclass(frozen=True)
class Slice:
    """A division of the entities that the gate looks at part by part.

    Attributes:
        name: What it is called.
        table: Source table; column: the column that divides.
        bands: Bounds between bands of a number; empty for a column whose values are the parts.
    """

    name: str
    table: str
    column: str
    bands: tuple[float, ...] = ()


@dataclass(frozen=True)
class FeatureRepo:
    """A loaded feature repository."""

    path: Path
    tables: tuple[SourceTable, ...]
    label: Label
    feature_service_name: str
    slices: tuple[Slice, ...] = ()

    @property
    def entities(self) -> tuple[Entity, ...]:
        """Feast's entities: exactly one."""
        return _definitions(self).entities

    @property
    def data_sources(self) -> tuple[DataSource, ...]:
        """Feast's data sources."""
        return _definitions(self).data_sources

    @property
    def feature_views(self) -> tuple[FeatureView, ...]:
        """Feast's feature views."""
        return _definitions(self).feature_views

    @property
    def feature_services(self) -> tuple[FeatureService, ...]:
        """Feast's feature services."""
        return _definitions(self).feature_services

    @property
    def estimators(self) -> dict[str, Callable[[int], Any]]:
        """Makers of unfitted estimators by name; each takes a seed."""
        with modules_of(self.path, ("estimator",)) as modules:
            return dict(modules["estimator"].ESTIMATORS)

    @property
    def simulate(self) -> Callable[..., Any] | None:
        """What invents drops; None when the repo has no simulation."""
        with modules_of(self.path, ("simulation",)) as modules:
            return getattr(modules.get("simulation"), "simulate", None)

    @property
    def join_key(self) -> str:
        """The entity's key; a repo has one entity."""
        return str(self.entities[0].join_key)

    @property
    def entity_table(self) -> SourceTable:
        """The table that says which entities exist."""
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
        """The source table called `name`.

        Raises:
            UsageError: there is none.
        """
        for table in self.tables:
            if table.name == name:
                return table
        raise UsageError(
            f"There is no source table '{name}'.", hint=f"Tables: {', '.join(t.name for t in self.tables)}."
        )

    def view(self, name: str) -> FeatureView:
        """The feature view called `name`; KeyError if there is none."""
        return {view.name: view for view in self.feature_views}[name]

    def table_of_view(self, view: FeatureView) -> SourceTable:
        """The source table behind a feature view's snapshots."""
        return next(table for table in self.tables if table.snapshots == view.batch_source.name)

    def with_horizon(self, horizon: int | None) -> FeatureRepo:
        """The same repo with another label horizon; None keeps the declared one."""
        if horizon is None:
            return self
        if horizon < 0:
            raise UsageError(f"A label horizon of {horizon} is not possible.", hint="Give 0 or more drops.")
        return replace(self, label=replace(self.label, horizon=horizon))


def load(settings: Settings) -> FeatureRepo:
    """Load the feature repo that the settings name.

    Raises:
        UsageError: the folder is no feature repo, or a definition in it is wrong.
    """
    return _load(settings.feast.repo.resolve())


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
    _refuse(repo, _table_problems(repo))
    return repo


@dataclass(frozen=True)
class _Definitions:
    """Feast's objects of a feature repo."""

    entities: tuple[Entity, ...]
    data_sources: tuple[DataSource, ...]
    feature_views: tuple[FeatureView, ...]
    feature_services: tuple[FeatureService, ...]


def _definitions(repo: FeatureRepo) -> _Definitions:
    return _load_definitions(repo.path)


@lru_cache(maxsize=4)
def _load_definitions(path: Path) -> _Definitions:
    from streamflow.repo.quick_feast import feast

    with modules_of(path, DEFINITIONS) as modules:
        objects = {id(value): value for module in modules.values() for value in vars(module).values()}

    def found(kind: type) -> tuple[Any, ...]:
        return tuple(value for value in objects.values() if isinstance(value, kind))

    held = _Definitions(
        entities=found(feast.Entity),
        data_sources=found(feast.data_source.DataSource),
        feature_views=found(feast.FeatureView),
        feature_services=found(feast.FeatureService),
    )
    repo = _load(path)
    _refuse(repo, _definition_problems(repo, held))
    return held


def source_table(schema: pa.DataFrameSchema) -> SourceTable:
    """Read a table's declaration out of its pandera schema."""
    metadata = schema.metadata or {}
    key, *names = list(schema.columns)
    return SourceTable(
        name=str(schema.name),
        key=key,
        columns=tuple(_column(name, schema.columns[name]) for name in names),
        snapshots=str(metadata["snapshots"]),
        entities=bool(metadata.get("entities")),
        schema=schema,
    )


def _column(name: str, column: pa.Column) -> Column:
    allowed: tuple[str, ...] = ()
    for check in column.checks:
        if check.name == "isin":
            allowed = tuple(str(value) for value in check.statistics["allowed_values"])
    return Column(
        name=name,
        type=_TYPES[str(column.dtype)],
        null=(column.metadata or {}).get("null", "missing" if column.nullable else ""),
        categories=tuple(sorted(allowed)),
    )


def _table_problems(repo: FeatureRepo) -> list[str]:
    problems = []
    if sum(table.entities for table in repo.tables) != 1:
        problems.append("exactly one source table must be declared with entities=True")
    names = {table.name for table in repo.tables}
    if repo.label.table not in names:
        problems.append(f"label.py names the table '{repo.label.table}', which does not exist")
    for item in repo.slices:
        held = next((table for table in repo.tables if table.name == item.table), None)
        if held is None or item.column not in held.column_names:
            problems.append(f"slices.py names '{item.table}.{item.column}', which does not exist")
    return problems


def _definition_problems(repo: FeatureRepo, held: _Definitions) -> list[str]:
    problems = []
    if len(held.entities) != 1:
        problems.append(f"it defines {len(held.entities)} entities; exactly one is supported")
    if repo.feature_service_name not in {item.name for item in held.feature_services}:
        problems.append(
            f"label.py names the feature service '{repo.feature_service_name}', which does not exist"
        )
    snapshots = {table.snapshots for table in repo.tables}
    for view in held.feature_views:
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


def _refuse(repo: FeatureRepo, problems: list[str]) -> None:
    if problems:
        raise UsageError(f"The feature repo {repo.path} does not hold together.", details=tuple(problems))


def feast_config(settings: Settings, *, db_schema: str | None = None) -> RepoConfig:
    """Feast's configuration from `feature_store.yaml`, its variables filled from the settings.

    Args:
        db_schema: Schema the offline store reads snapshots from; None keeps the file's.
    """
    from streamflow.repo.quick_feast import feast

    path = settings.feast.repo.resolve()
    content = _parsed(path / "feature_store.yaml")
    content = _filled(content, {**os.environ, **settings.database.variables})
    if db_schema is not None:
        content["offline_store"]["db_schema"] = db_schema
    return feast.repo_config.RepoConfig(repo_path=path, **content)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path} cannot be read.",
            details=tuple(line.strip() for line in str(error).splitlines()),
            hint="Correct it there; see docs/feature-repo.md.",
        ) from error
    return content


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    """The parsed file with its variables filled in, value by value, so that no secret can change its shape."""
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    if isinstance(node, str) and "${" in node:
        url = "://" in node
        values = {
            key: quote(value, safe="") if url and key != URL_PASSWORD else value
            for key, value in variables.items()
        }
        return string.Template(node).safe_substitute(values)
    return node

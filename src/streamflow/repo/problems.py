"""The rules that the parts of a feature repo must satisfy together; each problem has its file and line."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamflow import types
from streamflow.repo.declarations import ENTITIES, NULL, SNAPSHOTS, Slice, SourceTable
from streamflow.repo.snapshots import snapshots_of
from streamflow.repo.words import Words

if TYPE_CHECKING:
    from feast import FeatureView

    from streamflow.repo.definitions import FeastObjects, FeatureRepo

_RESERVED = ("as_of", "loaded_at", "drop_id", "drop_number")
_NULLS = ("", "missing", "not_applicable")
_LABEL = {"FEATURE_SERVICE": str, "TABLE": str, "COLUMN": str, "HORIZON": int}


@dataclass(frozen=True)
class Problem:
    """Something in a feature repo that does not fit.

    Attributes:
        file: Name of the file.
        line: Line in it; None if it cannot be said.
        what: What is wrong, and what to do.
    """

    file: str
    line: int | None
    what: str

    def __str__(self) -> str:
        """As one line of text."""
        return f"{self.file}, line {self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


def of_modules(path: Path, tables: Any, label: Any, slices: Any = None) -> list[Problem]:
    """What keeps the modules `tables`, `label` and `slices` from being read as declarations."""
    found = [
        Problem("label.py", None, f"it has no {name}, which must be of the type {kind.__name__}")
        for name, kind in _LABEL.items()
        if not isinstance(getattr(label, name, None), kind)
    ]
    found += _of_slices(path, getattr(slices, "SLICES", ()))
    horizon = getattr(label, "HORIZON", 0)
    if isinstance(horizon, int) and horizon < 0:
        found.append(_at(path, "label.py", f"HORIZON is {horizon}; give 0 or more drops", "HORIZON"))
    schemas = getattr(tables, "TABLES", None)
    if not isinstance(schemas, list | tuple) or not schemas:
        return [*found, Problem("tables.py", None, "it has no TABLES, a list of pandera schemas")]
    for number, schema in enumerate(schemas):
        name = str(getattr(schema, "name", None) or f"number {number + 1} of TABLES")
        if not getattr(schema, "columns", None):
            found.append(_at(path, "tables.py", f"the table '{name}' is not a schema with columns", name))
        else:
            found += [_at(path, "tables.py", what, name, *inner) for what, *inner in _of_schema(schema, name)]
    return found


def _of_slices(path: Path, declared: Any) -> list[Problem]:
    if isinstance(declared, Mapping):
        return [
            _at(path, "slices.py", f"the slice '{name}' has no table and column", str(name))
            for name, item in declared.items()
            if not isinstance(item, Mapping) or not {"table", "column"} <= set(item)
        ]
    if isinstance(declared, list | tuple) and all(isinstance(item, Slice) for item in declared):
        return []
    return [_at(path, "slices.py", "SLICES is not a list of Slice", "SLICES")]


def _of_schema(schema: Any, name: str) -> Iterator[tuple[str, ...]]:
    """What is wrong with a table's pandera schema, and the name of the column that it is about."""
    metadata = schema.metadata or {}
    if not metadata.get(SNAPSHOTS):
        yield (f"the table '{name}' names no snapshots, the view that Feast reads: give '{name}_snapshots'",)
    if not isinstance(metadata.get(ENTITIES, False), bool | Words):
        yield (f"the table '{name}' says entities={metadata[ENTITIES]!r}; give True, or Words(\"customer\")",)
    key, *_ = schema.columns
    unique = [schema.unique] if isinstance(schema.unique, str) else list(schema.unique or ())
    if unique != [key]:
        yield (
            f"the table '{name}' must be unique in its first column alone, unique=['{key}']; keys of several"
            " columns are not supported, so join them into one in the files",
        )
    for column, declared in schema.columns.items():
        try:
            kind = types.of_pandas(str(declared.dtype)).name
        except KeyError:
            known = ", ".join(item.pandas[0] for item in types.TYPES)
            yield f"'{name}.{column}' has the type {declared.dtype}; a column has one of {known}", column
            continue
        if column == key and (kind != "string" or declared.nullable):
            yield f"the key '{name}.{column}' must be a string that is never null", column
        if column in _RESERVED:
            yield f"'{name}.{column}' has the name of a column that every source table has", column
        if (null := (declared.metadata or {}).get(NULL, "")) not in _NULLS:
            yield f"'{name}.{column}' says null={null!r}; give 'missing' or 'not_applicable'", column


def of_declarations(repo: FeatureRepo) -> list[Problem]:
    """What does not fit among tables, label and slices."""
    path, tables = repo.path, {table.name: table for table in repo.tables}
    found = []
    if (count := sum(table.entities for table in repo.tables)) != 1:
        found.append(
            _at(path, "tables.py", f"{count} tables have entities=True; exactly one must have it", "TABLES")
        )
    for what in ("name", "snapshots"):
        names = [getattr(table, what) for table in repo.tables]
        found += [
            _at(path, "tables.py", f"two tables have the {what} '{name}'", name)
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
    key = repo.tables[0].key
    found += [
        _at(
            path,
            "tables.py",
            f"the table '{table.name}' has the key '{table.key}' and the first one '{key}'; all tables have the"
            " key of the one entity",
            table.name,
        )
        for table in repo.tables
        if table.key != key
    ]
    found += _of_label(repo, tables.get(repo.label.table))
    return found + [
        _at(path, "slices.py", f"'{item.table}.{item.column}' does not exist", item.name, item.column)
        for item in repo.slices
        if item.table not in tables or item.column not in tables[item.table].column_names
    ]


def _of_label(repo: FeatureRepo, table: SourceTable | None) -> list[Problem]:
    path, label = repo.path, repo.label
    if table is None:
        known = ", ".join(item.name for item in repo.tables)
        return [_at(path, "label.py", f"there is no table '{label.table}'; tables: {known}", "TABLE")]
    columns = {column.name: column for column in table.columns}
    if label.column not in columns:
        what = f"the table '{label.table}' has no column '{label.column}'; columns: {', '.join(columns)}"
        return [_at(path, "label.py", what, "COLUMN")]
    column = columns[label.column]
    if column.type != "bool":
        what = f"the label '{label.table}.{label.column}' is of the type {column.type}; a label is boolean"
        return [_at(path, "label.py", what, "COLUMN")]
    if column.null:
        what = f"the label '{label.table}.{label.column}' may be null; declare it nullable=False"
        return [_at(path, "tables.py", what, label.table, label.column)]
    return []


def of_feast(repo: FeatureRepo, defined: FeastObjects) -> list[Problem]:
    """What does not fit between Feast's definitions and the declarations."""
    path = repo.path
    found: list[Problem] = []
    if len(defined.entities) != 1:
        names = ", ".join(item.name for item in defined.entities) or "none"
        what = f"it defines {len(defined.entities)} entities ({names}); exactly one is supported"
        found.append(_at(path, "entities.py", what, *(item.name for item in defined.entities[1:2])))
    elif (key := defined.entities[0].join_key) != repo.tables[0].key:
        what = f"the entity's join key is '{key}', and the key of the tables '{repo.tables[0].key}'"
        found.append(_at(path, "entities.py", what, key))
    tables = {table.snapshots: table for table in repo.tables}
    for view in defined.feature_views:
        source = snapshots_of(view)
        if source not in tables:
            what = f"'{view.name}' reads '{source}', which no table has as snapshots; there are: {', '.join(tables)}"
            found.append(_at(path, "feature_views.py", what, view.name))
        else:
            found += _of_view(path, view, tables[source])
    services = {item.name: item for item in defined.feature_services}
    if repo.feature_service_name not in services:
        what = f"there is no feature service '{repo.feature_service_name}'; there are: {', '.join(services)}"
        return [*found, _at(path, "label.py", what, "FEATURE_SERVICE")]
    features = [
        feature.name
        for projection in services[repo.feature_service_name].feature_view_projections
        for feature in projection.features
    ]
    return found + [
        _at(
            path,
            "feature_services.py",
            f"two features of '{repo.feature_service_name}' are named '{name}'",
            repo.feature_service_name,
        )
        for name in sorted({name for name in features if features.count(name) > 1})
    ]


def _of_view(path: Path, view: FeatureView, table: SourceTable) -> list[Problem]:
    found: list[Problem] = []
    columns = {column.name: column for column in table.columns}
    for feature in view.features:
        name, column = f"'{view.name}:{feature.name}'", columns.get(feature.name)
        kind = types.of_feast(str(feature.dtype))
        what = ""
        if column is None:
            what = f"{name} is not a column of the table '{table.name}'"
        elif kind is None:
            what = f"{name} has the type {feature.dtype}, which no model takes"
        elif kind.name != column.type and (column.type, kind.name) != ("int", "float"):
            what = f"{name} has the type {feature.dtype}, and the column '{table.name}.{column.name}' {column.type}"
        elif column.type == "string" and column.null == "not_applicable":
            what = (
                f"{name} is a string that may be absent; give absence a category of its own in '{table.name}'"
            )
        elif column.type == "string" and not column.categories:
            what = f"{name} is a string without categories; list them in '{table.name}' with pa.Check.isin"
        if what:
            found.append(_at(path, "feature_views.py", what, view.name, feature.name))
    return found


def _at(path: Path, file: str, what: str, *names: str) -> Problem:
    """A problem at the line of the last name, each searched from the line of the one before."""
    line = None
    for name in names:
        line = _line(path / file, name, line or 0) or line
    return Problem(file, line, what)


def _line(file: Path, name: str, after: int) -> int | None:
    """The first line, from `after` on, that has a string or a variable of that name."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    lines = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and node.value == name)
        or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
    ]
    return min((line for line in lines if line >= after), default=None)

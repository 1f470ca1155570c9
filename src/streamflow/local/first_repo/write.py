"""Write the files of a first feature repo from a guess."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from streamflow import types
from streamflow.errors import UsageError
from streamflow.local.first_repo.guess import Guess, GuessedColumn, GuessedTable
from streamflow.repo.folder import STORE_FILE
from streamflow.repo.words import of_key

SETTINGS = "settings.env"
_STORE = Path(__file__).with_name("store.yaml")
_ESTIMATOR = Path(__file__).with_name("estimator.txt")
"""Equal to `feature_repo/estimator.py`, which is not part of this package."""

_TABLES = '''"""The source tables of a drop, one CSV file each: their columns, types and checks.

Each column says what an empty cell means:

    (nothing)                an error: the row goes to quarantine
    null="missing"           an unknown value: no prediction is made for the entity
    null="not_applicable"    a value of its own, of a number or a boolean: models are trained on it
"""

import pandera.pandas as pa

from streamflow.repo.declare import Words, column, key, table

KEY = key("@KEY@")

# Add checks, such as pa.Check.in_range(0, 100): a row that fails one goes to quarantine.
TABLES = [
'''
_ENTITIES = '''"""The entity that predictions are made for."""

from feast import Entity, ValueType

entity = Entity(name="@ENTITY@", join_keys=["@KEY@"], value_type=ValueType.STRING)
'''
_SOURCES = '''"""Feast's data sources: views of the source tables, one row per entity, as-of and load time."""

from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource


def snapshots(table: str) -> PostgreSQLSource:
    """The view behind a source table of `tables.py`."""
    return PostgreSQLSource(
        name=f"{table}_snapshots",
        table=f"{table}_snapshots",
        timestamp_field="as_of",
        created_timestamp_column="loaded_at",
    )
'''
_VIEWS = '''"""Feature views, one per source table. A view's ttl is the maximum age at which its values may be used."""

from datetime import timedelta

from entities import entity
from feast import FeatureView, Field
from feast.types import @TYPES@
from sources import snapshots

# For monthly drops: one may be ten days late.
TTL = timedelta(days=41)
'''
_SERVICES = '''"""The features that a model takes. Leave out a view, or a field of one, that it must not see."""

from feast import FeatureService
from feature_views import @VIEWS@

service = FeatureService(name="@NAME@_v1", features=[@VIEWS@])
'''
_LABEL = '''"""What the model predicts: the probability that a boolean column is True."""

FEATURE_SERVICE = "@NAME@_v1"

# A guess@OTHERS@.
TABLE = "@TABLE@"
COLUMN = "@COLUMN@"

# The drop that the label comes from: 0 for that of the features, 1 for the next drop (a forecast).
HORIZON = 0
'''
_ENV = """# The settings of this feature repo:  . @NAME@/settings.env
export STREAMFLOW_FEAST__REPO=@FOLDER@
export STREAMFLOW_PREDICT__JOIN_KEY=@KEY@
export STREAMFLOW_MLFLOW__REGISTERED_MODEL=@NAME@
"""


def write(folder: Path, guess: Guess) -> list[Path]:
    """Write the files of a feature repo to a new folder, whose name becomes that of the project and the model.

    Raises:
        UsageError: The folder exists, or its name cannot be that of a project.
    """
    if not folder.name.isidentifier() or folder.name != folder.name.lower():
        raise UsageError(
            f"'{folder.name}' cannot be the name of a feature repo.",
            hint="Use small letters, digits and '_'.",
        )
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}.",
            hint="Give the name of a folder that does not exist.",
        ) from error
    written = []
    for name, text in files(folder.resolve(), guess).items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def files(folder: Path, guess: Guess) -> dict[str, str]:
    """The text of each file, by name. Pure but for the folder's name, which the settings hold."""
    name = folder.name
    table, column = guess.label
    views = [item for item in guess.tables if _features(guess, item)]
    types_used = sorted({_dtype(one) for item in views for one in _features(guess, item)})
    others = f"; it could also be {', '.join(guess.others)}" if guess.others else ""
    words = {
        "@NAME@": name,
        "@KEY@": guess.key,
        "@ENTITY@": guess.key.removesuffix("_id"),
        "@TABLE@": table,
        "@COLUMN@": column,
        "@OTHERS@": others,
        "@TYPES@": ", ".join(types_used),
        "@VIEWS@": ", ".join(f"{item.name}_fv" for item in views),
        "@FOLDER@": shlex.quote(str(folder)),
    }
    texts = {
        "tables.py": _TABLES + "".join(_table(item, guess.key) for item in guess.tables) + "]\n",
        "entities.py": _ENTITIES,
        "sources.py": _SOURCES,
        "feature_views.py": _VIEWS + "".join(_view(item, _features(guess, item)) for item in views),
        "feature_services.py": _SERVICES,
        "label.py": _LABEL,
        "estimator.py": _ESTIMATOR.read_text(encoding="utf-8"),
        SETTINGS: _ENV,
        STORE_FILE: f"# Read by Feast and by streamflow; the variables are those of the running stack.\n"
        f"project: {name}\n" + _STORE.read_text(encoding="utf-8"),
    }
    for word, value in words.items():
        texts = {file: text.replace(word, value) for file, text in texts.items()}
    return texts


def _features(guess: Guess, table: GuessedTable) -> list[GuessedColumn]:
    """The columns of a table that become features: of the label's own table none, unless it is the only one."""
    if table.name == guess.label[0] and len(guess.tables) > 1:
        return []
    return [column for column in table.columns if column.feature and column.name != guess.label[1]]


def _table(table: GuessedTable, key: str) -> str:
    lines = "".join(_column(column) for column in table.columns)
    entities = (
        "\n        # It has every entity; the other tables have no more. Words(one, many) for an irregular plural."
        f'\n        entities=Words("{of_key(key).one}"),'
        if table.entities
        else ""
    )
    return f'    table(\n        "{table.name}",\n        KEY,\n        {{\n{lines}        }},{entities}\n    ),\n'


def _column(column: GuessedColumn) -> str:
    said = []
    if column.empty:
        said.append(f"{column.empty} of {column.rows} cells are empty; what that means is a guess.")
    if column.flag:
        said.append("Only 0 and 1: a flag; if it is a count, write Int64 and in the view Int64.")
    if not column.feature:
        said.append(
            "Not a feature: no model takes a date."
            if column.type == "date"
            else "Not a feature: many values."
        )
    check = (
        f", pa.Check.isin({json.dumps(column.categories, ensure_ascii=False)})" if column.categories else ""
    )
    null = f', null="{column.null}"' if column.null else ""
    comment = "".join(f"            # {text}\n" for text in said)
    dtype = types.of(column.type).pandas[-1] if column.type == "string" else types.of(column.type).pandas[0]
    return f'{comment}            "{column.name}": column("{dtype}"{check}{null}),\n'


def _dtype(column: GuessedColumn) -> str:
    """Feast's type of a column."""
    return next(iter(types.of(column.type).feast))


def _view(table: GuessedTable, columns: list[GuessedColumn]) -> str:
    fields = "".join(f'        Field(name="{one.name}", dtype={_dtype(one)}),\n' for one in columns)
    return (
        f'\n{table.name}_fv = FeatureView(\n    name="{table.name}_fv",\n    entities=[entity],\n    ttl=TTL,\n'
        f'    schema=[\n{fields}    ],\n    source=snapshots("{table.name}"),\n)\n'
    )

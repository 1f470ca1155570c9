"""What a job said, as a page in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamflow.flows.order import Declared
from streamflow.flows.said import Said
from streamflow.settings import MlflowSettings

_MOST_ROWS = 200
_HIDDEN = ("result_version",)


def page(job: Declared, said: Said, mlflow: MlflowSettings) -> str:
    """The page in Markdown: the scalar facts as one table, each list and each mapping as another. Pure."""
    facts = {name: value for name, value in said.facts.items() if name not in _HIDDEN}
    parts = [f"## {job.name}: {said.outcome}", job.summary]
    if said.why:
        parts.append(f"```\n{said.why}\n```")
    if link := _version_page(facts, mlflow):
        parts.append(link)
    scalars = {name: value for name, value in facts.items() if not isinstance(value, (Mapping, list))}
    if scalars:
        parts.append(_table(("what", "value"), [(_words(name), value) for name, value in scalars.items()]))
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            parts += [f"### {_words(name)}", _table(("what", "value"), list(value.items()))]
        elif isinstance(value, list) and value:
            parts += [f"### {_words(name)}", _listed(value)]
    return "\n\n".join(parts)


def _version_page(facts: Mapping[str, Any], mlflow: MlflowSettings) -> str:
    """A link to the model version, whose page has its run and the gate's report."""
    version = facts.get("version")
    if version is None:
        return ""
    address = f"{mlflow.tracking_uri.rstrip('/')}/#/models/{mlflow.registered_model}/versions/{version}"
    return f"[Version {version} of {mlflow.registered_model} in MLflow]({address})"


def _listed(values: Sequence[Any]) -> str:
    if not all(isinstance(value, Mapping) for value in values):
        return "\n".join(f"- {_cell(value)}" for value in values[:_MOST_ROWS])
    columns = list(dict.fromkeys(name for value in values for name in value))
    rows = [tuple(value.get(name, "") for name in columns) for value in values[:_MOST_ROWS]]
    return _table([_words(name) for name in columns], rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(value) for value in row) + " |" for row in rows)])


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {item}" for name, item in value.items())
    elif isinstance(value, list):
        value = ", ".join(map(str, value))
    elif value is None:
        value = ""
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    # A value may not end its cell, begin a link or be read as HTML.
    escaped = str(value).replace("\\", "\\\\")
    for character in "|<>[]`*_":
        escaped = escaped.replace(character, f"\\{character}")
    return " ".join(escaped.split())


def _words(name: str) -> str:
    return name.replace("_", " ")

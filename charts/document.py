"""Generate the chart's values.schema.json, the tables of its README, and its copies of the jobs' files.

    python charts/document.py            # write them
    python charts/document.py --check    # exit with 1 if one of them is not current

The schema and the table of knobs come from the comments in values.yaml, the tables of jobs and components from
k8s-jobs/*.yaml and components.yaml. The chart contains copies of the jobs' files and no link to them, because some tools,
such as Flux, leave links out.

Only values.yaml describes a knob, in the comment above its key. Lines of that comment may be marks:

    # @schema {…}    JSON schema keywords that restrict the values of the knob
    # @free          a map that Kubernetes defines, so any key is allowed
    # @pod           a key of `pods`, with a default for this component
    # @claim         a volume, which its keys describe
    # @jobs          a map from job names to overrides
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "streamflow"
JOBS = Path(__file__).parents[1] / "k8s-jobs"
TAKES_POD_KEYS = (
    "postgresql",
    "migrate",
    "upgrade.hook",
    "mlflow",
    "feast",
    "predict",
    "registrar",
    "prefect.server",
    "prefect.conductor",
    "exporter",
    "jobDefaults",
    "demo",
    "test",
)
JOB_KEYS: dict[str, dict[str, Any]] = {
    "enabled": {"type": "boolean", "description": "Whether to install the job."},
    "schedule": {
        "type": "string",
        "description": "Cron schedule: five fields, for example `0 3 2 * *` (03:00 on the 2nd of each month).",
        # Checks only the shape, because the API server checks the ranges of the fields.
        "pattern": r"^\s*(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)"
        r"|[0-9A-Za-z*?/,-]+(\s+[0-9A-Za-z*?/,-]+){4})\s*$",
    },
    "suspend": {"type": "boolean", "description": "Whether to suspend the schedule."},
    "retries": {"type": "integer", "minimum": 0, "description": "How often a failed run is retried."},
    "deadlineSeconds": {"type": "integer", "minimum": 1, "description": "Longest time of a run, in seconds."},
    "shards": {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "description": "Number of pods that share a run; only for the job score.",
    },
}


@dataclass(frozen=True)
class Knob:
    """One key of values.yaml.

    Attributes:
        path: Keys from the root to this one.
        default: Value in values.yaml.
        description: Comment above the key.
        marks: Arguments of the `@` lines, by name.
        knobs: Keys below this one, unless Kubernetes defines them.
    """

    path: tuple[str, ...]
    default: Any
    description: str
    marks: dict[str, str]
    knobs: list[Knob] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Dotted path, as `--set` takes it."""
        return ".".join(self.path)


def read(text: str) -> list[Knob]:
    """The knobs of a values.yaml, in order."""
    root = yaml.compose(text)
    return _knobs(root, yaml.safe_load(text), text.splitlines(), ())


def _knobs(node: Any, values: dict[str, Any], lines: list[str], above: tuple[str, ...]) -> list[Knob]:
    found = []
    for key, value in node.value:
        description, marks = _comment(lines, key.start_mark.line)
        knob = Knob((*above, key.value), values[key.value], description, marks)
        if isinstance(value, yaml.MappingNode) and value.value and not {"free", "pod"} & marks.keys():
            knob.knobs.extend(_knobs(value, values[key.value], lines, knob.path))
        found.append(knob)
    return found


def _comment(lines: list[str], line: int) -> tuple[str, dict[str, str]]:
    words: list[str] = []
    marks: dict[str, str] = {}
    indent = len(lines[line]) - len(lines[line].lstrip())
    while line > 0 and lines[line - 1].startswith(" " * indent + "#"):
        line -= 1
        text = lines[line].strip().lstrip("#").strip()
        if text.startswith("@"):
            name, _, argument = text[1:].partition(" ")
            marks[name] = argument
        else:
            words.insert(0, text)
    return " ".join(words), marks


def leaves(knobs: list[Knob]) -> Iterator[Knob]:
    """The knobs without keys below them."""
    for knob in knobs:
        if knob.knobs:
            yield from leaves(knob.knobs)
        else:
            yield knob


def schema(knobs: list[Knob]) -> dict[str, Any]:
    """JSON schema of values.yaml. It allows no other keys, and states the type, default and description of every knob."""
    pod = next(knob for knob in knobs if knob.name == "pods")
    pod_keys = {item.path[-1]: _schema_of(item) for item in pod.knobs}
    defaults = next(knob for knob in knobs if knob.name == "jobDefaults")
    job_keys = JOB_KEYS | {
        item.path[-1]: {k: v for k, v in _schema_of(item).items() if k != "default"}
        for item in defaults.knobs
    }
    overrides = {name: {"$ref": f"#/definitions/pod/{name}"} for name in pod_keys}
    definitions = {
        "pod": {name: {k: v for k, v in item.items() if k != "default"} for name, item in pod_keys.items()},
        "job": {"type": "object", "additionalProperties": False, "properties": overrides | job_keys},
    }
    properties = {knob.path[-1]: _schema_of(knob) for knob in knobs}
    for component in TAKES_POD_KEYS:
        block = {"properties": properties}
        for key in component.split("."):
            block = block["properties"][key]
        own = block["properties"]
        block["properties"] = own | {k: v for k, v in overrides.items() if k not in own}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart streamflow; generated from values.yaml by charts/document.py",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "definitions": definitions,
    }


def _schema_of(knob: Knob) -> dict[str, Any]:
    if "pod" in knob.marks:
        return {"$ref": f"#/definitions/pod/{knob.path[-1]}"}
    out: dict[str, Any] = {}
    if knob.description:
        out["description"] = knob.description
    if knob.knobs:
        return out | {
            "type": "object",
            "additionalProperties": False,
            "properties": {item.path[-1]: _schema_of(item) for item in knob.knobs},
        }
    types = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    if type(knob.default) in types:
        out["type"] = types[type(knob.default)]
    out["default"] = knob.default
    if "jobs" in knob.marks:
        out["additionalProperties"] = {"$ref": "#/definitions/job"}
    return out | json.loads(knob.marks.get("schema", "{}"))


def table(knobs: list[Knob]) -> str:
    """The knobs as a Markdown table."""
    rows = ["| knob | default | meaning |", "| --- | --- | --- |"]
    described = {knob.path[-1]: knob.description for knob in leaves(knobs) if knob.path[0] == "pods"}
    for knob in leaves(knobs):
        default = json.dumps(knob.default, ensure_ascii=False)
        text = knob.description or described.get(knob.path[-1], "")
        if "pod" in knob.marks:
            text = text or f"See pods.{knob.path[-1]}."
        rows.append(f"| `{knob.name}` | `{default}` | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def jobs_table() -> str:
    """The jobs as a Markdown table."""
    rows = ["| job | schedule | what it does |", "| --- | --- | --- |"]
    for path in sorted(JOBS.glob("*.yaml")):
        job = yaml.safe_load(path.read_text(encoding="utf-8"))
        when = "on demand" if job.get("onDemand") else f"`{job['schedule']}`"
        rows.append(f"| `{path.stem}` | {when} | {job['summary']} |")
    return "\n".join(rows)


def components_table() -> str:
    """The components and jobs, with their ports, roles and allowed connections, as a Markdown table."""
    rows = [
        "| component | purpose | port | metrics port | database role | may connect to |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    facts = yaml.safe_load((CHART / "components.yaml").read_text(encoding="utf-8"))["components"]
    for path in sorted(JOBS.glob("*.yaml")):
        facts[path.stem] = yaml.safe_load(path.read_text(encoding="utf-8")) | {"summary": "job"}
    for name, own in facts.items():
        role = f"`{own['databaseRole']}`" if "databaseRole" in own else ""
        cells = (
            own["summary"],
            own.get("port", ""),
            own.get("metricsPort", ""),
            role,
            ", ".join(own["talksTo"]),
        )
        rows.append(" | ".join((f"| `{name}`", *map(str, cells))) + " |")
    return "\n".join(rows)


def job_copy(path: Path) -> str:
    """The chart's copy of a job's file."""
    note = f"# Copy of k8s-jobs/{path.name}: edit that file, then run `make chart-docs`.\n"
    return note + path.read_text(encoding="utf-8")


def readme(text: str, knobs: list[Knob]) -> str:
    """Replace the generated parts of the README."""
    parts = {"jobs": jobs_table(), "components": components_table(), "knobs": table(knobs)}
    for name, content in parts.items():
        start, end = f"<!-- {name}: generated by charts/document.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{content}\n{end}{rest.partition(end)[2]}"
    return text


def wanted() -> dict[Path, str]:
    """The generated files and their current contents."""
    knobs = read((CHART / "values.yaml").read_text(encoding="utf-8"))
    page = CHART / "README.md"
    return {
        CHART / "values.schema.json": json.dumps(schema(knobs), indent=1, ensure_ascii=False) + "\n",
        page: readme(page.read_text(encoding="utf-8"), knobs),
        **{CHART / "jobs" / path.name: job_copy(path) for path in sorted(JOBS.glob("*.yaml"))},
    }


def surplus() -> list[Path]:
    """Files of the chart that have no original in k8s-jobs."""
    return sorted(set((CHART / "jobs").glob("*")) - wanted().keys())


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` report which are not current."""
    stale = [
        path
        for path, text in wanted().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    stale += surplus()
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path} is not current: run 'python charts/document.py'.\n")
        return int(bool(stale))
    for path, text in wanted().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in surplus():
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""values.yaml, its schema, its README and the settings in the code agree."""

import json
import re
import sys

import pytest
import yaml
from render import CHART, ROOT

from streamflow.settings import Settings

sys.path.insert(0, str(ROOT / "charts"))
import document

KNOBS = document.read((CHART / "values.yaml").read_text(encoding="utf-8"))
LEAVES = list(document.leaves(KNOBS))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
EVERY_KNOB = yaml.safe_load((CHART / "ci" / "every-knob.yaml").read_text(encoding="utf-8"))
TEMPLATES = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").rglob("*")) if path.is_file()
)

# Settings that the chart derives from its own objects, or that a single run of a job is given, so they are not values.
DERIVED = {
    "home",
    "engine",
    "lake.url",
    "spark.conf",
    "jobs.after",
    "backup.artifacts",
    "backup.except_versions",
    "backup.folder",
    "backup.keep",
    "backup.url",
    "build.commit",
    "build.image",
    "database.host",
    "database.install",
    "database.mlflow_name",
    "database.name",
    "database.password",
    "database.password_file",
    "database.port",
    "database.prefect_name",
    "database.role_prefix",
    "database.sslmode",
    "database.user",
    "erasure.key",
    "erasure.key_file",
    "erasure.request_file",
    "feast.repo",
    "feast.api_keys_file",
    "feast.server_url",
    "ingest.inbox",
    "ingest.until",
    "log.debug",
    "mlflow.accounts_folder",
    "mlflow.names_moves",
    "mlflow.password",
    "mlflow.password_file",
    "mlflow.tracking_uri",
    "mlflow.username",
    "parity.api_key",
    "parity.api_key_file",
    "parity.url",
    "predict.api_keys_file",
    "promotion.head_config_map",
    "promotion.head_file",
    "promotion.signing_key_file",
    "predict.host",
    "predict.port",
    "predict.status_port",
    "request.by",
    "request.key",
    "request.to",
    "request.version",
    "request.wait_seconds",
    "request.why",
    "promotion.api_keys_file",
    "promotion.api_port",
    "promotion.registrar_port",
    "prefect.api_url",
    "prefect.auth_file",
    "prefect.job_python",
    "prefect.jobs_folder",
    "prefect.jobs_on",
    "prefect.keep_days",
    "prefect.overdue_days",
    "prefect.poll_seconds",
    "prefect.python",
    "prefect.release",
    "prefect.schedule",
    "prefect.server_port",
    "prefect.status_port",
    "prefect.ui_url",
    "prefect.webhook_file",
    "scoring.run",
    "scoring.shard",
    "scoring.shards",
}


def nodes(schema, path=""):
    yield path, schema
    for name, item in schema.get("properties", {}).items():
        yield from nodes(item, f"{path}.{name}".lstrip("."))


def test_generated_files_are_current():
    for path, text in document.wanted().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is not current: run 'make chart-docs'"
    assert document.surplus() == []


def test_the_schema_is_closed():
    open_ones = [
        path
        for path, node in nodes(SCHEMA)
        if "properties" in node and node.get("additionalProperties", True) is not False
    ]
    assert open_ones == []


def test_every_knob_is_described():
    described = {path for path, node in nodes(SCHEMA) if node.get("description") or "$ref" in node}
    assert [knob.name for knob in LEAVES if knob.name not in described] == []
    assert all(
        item.get("description") or item.get("properties") for item in SCHEMA["definitions"]["pod"].values()
    )


def test_every_list_states_the_type_of_its_items():
    lists = [path for path, node in nodes(SCHEMA) if node.get("type") == "array" and "items" not in node]
    assert lists == []


def test_the_number_of_knobs_is_within_bounds():
    assert 150 <= len(LEAVES) <= 350


@pytest.mark.parametrize(
    "name", sorted({knob.path[-1] for knob in LEAVES if knob.path[0] not in ("settings", "jobs")})
)
def test_every_knob_is_used_by_a_template(name):
    assert re.search(rf"""[."]{name}\b""", TEMPLATES), f"no template reads {name}"


def test_the_values_for_tests_set_every_knob():
    missing = []
    for knob in LEAVES:
        node = EVERY_KNOB
        for key in knob.path:
            if not isinstance(node, dict) or key not in node:
                missing.append(knob.name)
                break
            node = node[key]
    assert missing == []


def settings_fields():
    for name, section in Settings.model_fields.items():
        if hasattr(section.annotation, "model_fields"):
            for field, item in section.annotation.model_fields.items():
                yield f"{name}.{field}", item.default
        else:
            yield name, section.default


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_values_and_settings_share_one_vocabulary_and_one_set_of_defaults():
    knobs = {f"{snake(k.path[1])}.{snake(k.path[2])}": k.default for k in LEAVES if k.path[0] == "settings"}
    fields = {name: default for name, default in settings_fields() if name not in DERIVED}
    # On a cluster, programs read the logs.
    fields["log.format"] = "json"
    as_json = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    assert knobs == as_json

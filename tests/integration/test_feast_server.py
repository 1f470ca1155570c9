"""Feast's server answers reads to everybody, and what changes something to holders of a key with the scope `write`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from datetime import UTC, datetime

import httpx2
import pandas as pd
import pytest
from feast import FeatureStore
from feast.repo_config import RepoConfig

from streamflow.features.write_guard import reads
from streamflow.http.api_keys import new_key
from streamflow.local import home, processes
from streamflow.postgres.engine import transaction
from streamflow.repo import feast_config

pytestmark = [pytest.mark.postgres]

DAY = datetime(2024, 1, 31, tzinfo=UTC)
DEFINITIONS = """
from feast import Entity, FeatureView, Field, PushSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Array, Int64, Json, Map, String

clicks = PostgreSQLSource(
    name="clicks",
    table="features.clicks",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)
visitor = Entity(name="visitor", join_keys=["visitor_id"], value_type=ValueType.STRING)
clicks_fv = FeatureView(
    name="clicks_fv",
    entities=[visitor],
    schema=[
        Field(name="visitor_id", dtype=String),
        Field(name="clicks", dtype=Int64),
        Field(name="pages", dtype=Array(String)),
        Field(name="device", dtype=Map),
        Field(name="session", dtype=Json),
    ],
    source=PushSource(name="clicks_push", batch_source=clicks),
)
"""
WRITES = {
    "push": {"push_source_name": "clicks_push", "df": {}, "to": "online"},
    "write-to-online-store": {"feature_view_name": "clicks_fv", "df": {}},
    "materialize": {"start_ts": "2024-01-01T00:00:00", "end_ts": "2024-02-01T00:00:00"},
    "materialize-incremental": {"end_ts": "2024-02-01T00:00:00"},
}


@pytest.fixture(scope="module")
def keys():
    """A key that may write and one that may not, and the lines of both for the file."""
    made = {name: new_key(name, [name]) for name in ("write", "predict")}
    return {name: key for name, (key, _) in made.items()}, [line for _, line in made.values()]


@pytest.fixture(scope="module")
def repo(module_settings, tmp_path_factory):
    """A feature repo whose view has a push source, a listed key, an array, a map and JSON; its store."""
    folder = tmp_path_factory.mktemp("repo")
    theirs = (module_settings.feast.repo / "feature_store.yaml").read_text(encoding="utf-8")
    # Feast's own engine: ours copies the snapshots of drops.
    kept = (
        theirs[: theirs.index("batch_engine:")] + theirs[theirs.index("entity_key_serialization_version") :]
    )
    (folder / "feature_store.yaml").write_text(kept, encoding="utf-8")
    (folder / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    with transaction(module_settings.database) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE features.clicks (visitor_id text, clicks bigint, pages text[], device jsonb,"
            " session jsonb, event_timestamp timestamptz, created timestamptz)"
        )
        connection.exec_driver_sql(
            "INSERT INTO features.clicks (visitor_id, clicks, event_timestamp, created)"
            " VALUES ('stored', 5, '2024-01-15', '2024-01-15')"
        )
    defined: dict[str, object] = {}
    exec(DEFINITIONS, defined)
    store = FeatureStore(config=feast_config.read(folder, module_settings.database))
    store.apply([defined["visitor"], defined["clicks_fv"]])
    return folder


@pytest.fixture(scope="module")
def server(module_settings, repo, keys, tmp_path_factory):
    """URL of Feast's server, as `streamflow serve feast` starts it with a file of keys."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text("\n".join(keys[1]), encoding="utf-8")
    with home.choosing_ports():
        port = home.free_port(18700)
        process = processes.launch(
            (sys.executable, "-m", "streamflow", "serve", "feast", "--port", str(port)),
            log=file.parent / "feast.log",
            port=port,
            environment={
                **os.environ,
                "STREAMFLOW_HOME": str(module_settings.home),
                "STREAMFLOW_FEAST__REPO": str(repo),
                "STREAMFLOW_FEAST__API_KEYS_FILE": str(file),
            },
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, file.parent / "feast.log")
        except BaseException:
            processes.stop(process, first=signal.SIGTERM, grace_seconds=5)
            raise
    yield f"http://127.0.0.1:{port}"
    processes.stop(process, first=signal.SIGTERM, grace_seconds=10)


def _wait_for(url, process, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and processes.alive(process):
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail("\n".join(processes.last_lines(log)))


def posted(server, path, body, key=None):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.post(f"{server}/{path}", json=body, headers=headers, timeout=60)


def online(server, *visitors):
    """Clicks of visitors, as the server answers anybody."""
    body = {"features": ["clicks_fv:clicks"], "entities": {"visitor_id": list(visitors)}}
    answer = posted(server, "get-online-features", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][1]["values"]


def row(visitor, clicks):
    values = {
        "visitor_id": visitor,
        "clicks": clicks,
        "pages": ["a"],
        "device": {"kind": "phone"},
        "session": "[1]",
    }
    stamps = dict.fromkeys(("event_timestamp", "created"), "2024-01-31T00:00:00Z")
    return {name: [value] for name, value in (values | stamps).items()}


def test_every_request_that_may_change_something_is_closed(server):
    """A later version of Feast may bring another: it is closed, and this says so."""
    document = httpx2.get(f"{server}/openapi.json", timeout=30).json()
    methods = [(method.upper(), path) for path, item in document["paths"].items() for method in item]
    assert {path.strip("/") for method, path in methods if not reads(method, path)} == set(WRITES)


@pytest.mark.parametrize("path", WRITES)
def test_a_write_needs_a_key_with_the_scope(server, keys, path):
    body = {**WRITES[path], "df": row("nobody", 1)}
    without, unknown = posted(server, path, body), posted(server, path, body, "sf_unknown")
    assert (without.status_code, without.json()["code"]) == (401, "unauthorized")
    assert unknown.status_code == 401
    lesser = posted(server, path, body, keys[0]["predict"])
    assert (lesser.status_code, lesser.json()["code"]) == (403, "forbidden")
    assert "'write'" in lesser.json()["detail"]
    assert online(server, "nobody", "stored") == [None, None]


@pytest.mark.parametrize("path", ["push/", "//push", "Push", "mcp"])
def test_what_is_not_known_to_read_is_closed_too(server, path):
    assert posted(server, path, {}).status_code == 401


def test_a_key_with_the_scope_pushes_and_writes(server, keys):
    key = keys[0]["write"]
    pushed = posted(server, "push", {**WRITES["push"], "df": row("pushed", 3)}, key)
    assert pushed.status_code == 200, pushed.text
    wrote = posted(
        server, "write-to-online-store", {**WRITES["write-to-online-store"], "df": row("sent", 4)}, key
    )
    assert wrote.status_code == 200, wrote.text
    assert online(server, "pushed", "sent") == [3, 4]


def test_a_value_that_would_be_changed_is_answered_with_422(server, keys):
    answer = posted(server, "push", {**WRITES["push"], "df": row("a\0", 3)}, keys[0]["write"])
    assert answer.status_code == 422
    assert "NUL" in answer.text


def test_feasts_remote_online_store_writes_and_reads_with_the_key(server, keys, repo, module_settings):
    def remote(key):
        config = feast_config.read(repo, module_settings.database)
        store = {"type": "remote", "path": server, "connection_retries": 0}
        asked = config.model_dump(include={"project", "provider", "entity_key_serialization_version"})
        return FeatureStore(
            config=RepoConfig(
                **asked,
                registry=config.registry_config,
                online_store=store,
                auth={"type": "oidc", "token": key},
                repo_path=repo,
            )
        )

    values = {
        "clicks": 9,
        "pages": ["a", "b"],
        "device": {"kind": "phone", "inches": 6.5},
        "session": '{"ids": [1, 2]}',
    }
    frame = pd.DataFrame([{"visitor_id": "remote", **values, "event_timestamp": DAY, "created": DAY}])
    store = remote(keys[0]["write"])
    store.push("clicks_push", frame)
    asked = [f"clicks_fv:{name}" for name in values]
    answer = store.get_online_features(features=asked, entity_rows=[{"visitor_id": "remote"}]).to_dict()
    assert answer == {"visitor_id": ["remote"], **{name: [value] for name, value in values.items()}}
    with pytest.raises(RuntimeError, match="the scope predict"):
        remote(keys[0]["predict"]).push("clicks_push", frame)


def test_a_key_with_the_scope_materializes(server, keys):
    key = keys[0]["write"]
    for path in ("materialize", "materialize-incremental"):
        answer = posted(server, path, WRITES[path], key)
        assert answer.status_code == 200, answer.text
    assert online(server, "stored") == [5]

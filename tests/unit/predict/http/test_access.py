"""No request reaches a handler whose check it did not pass, however its target is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import unquote

import httptools
import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from streamflow.http.api_keys import new_key
from streamflow.http.problems import Problem
from streamflow.predict.app import create_apps
from streamflow.predict.http import access
from streamflow.predict.models.watch import Watch
from streamflow.predict.service import Service
from streamflow.settings import PredictSettings, Settings

ENTITY = "7590-VHVEG"
BODY = b'{"user_id": "7590-VHVEG"}'


class Asked(Service):
    """Notes which answers were asked for, and refuses each."""

    reached: list[str]

    async def one(self, key):
        self.reached.append("one")
        raise access.ProblemError(Problem("overloaded", "a test"))

    async def many(self, keys):
        self.reached.append("many")
        raise access.ProblemError(Problem("overloaded", "a test"))

    async def explain(self, outcome):
        self.reached.append("explain")


@pytest.fixture(scope="module")
def send(tmp_path_factory) -> Callable[[str, str, str], tuple[int, list[str]]]:
    """Send a method and a raw target with the key of no scope or one; the status, and what was asked for."""
    folder = tmp_path_factory.mktemp("keys")
    keys = {}
    lines = []
    for scope in ("predict", "features"):
        keys[scope], line = new_key(scope, [scope])
        lines.append(line)
    (folder / "keys").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamflow.predict.app.Service", Asked)
        application = create_apps(
            Settings(predict=PredictSettings(api_keys_file=folder / "keys"))
        ).predictions

    def sent(method: str, target: str, key: str) -> tuple[int, list[str]]:
        # As uvicorn makes the scope.
        url = httptools.parse_url(target.encode())
        raw = url.path or b""
        path = raw.decode("ascii")
        headers = [(b"x-api-key", keys[key].encode())] if key else []
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 1),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw,
            "query_string": url.query or b"",
            "headers": headers,
            "state": {},
        }
        Asked.reached = []
        statuses = []

        async def receive():
            return {"type": "http.request", "body": BODY, "more_body": False}

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        asyncio.run(application(scope, receive, send))
        return statuses[0], Asked.reached

    return sent


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/v2/models/m/infer", f"/features/{ENTITY}"])
@pytest.mark.parametrize("end", ["%0A", "%0D", "%0D%0A", "%00", "%7F", "%1F"])
@pytest.mark.parametrize("query", ["", "?features=true&explain=true"])
def test_a_control_character_in_the_path_is_refused_before_routing(send, path, end, query):
    for method in ("GET", "POST"):
        assert send(method, path + end + query, "") == (422 if not path.startswith("/v2") else 400, [])


METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "post"])
PARTS = st.sampled_from(
    [
        "/predict",
        "/PREDICT",
        "/batch",
        "/features/",
        ENTITY,
        "/v2",
        "/models/",
        "m",
        "/versions/",
        "1",
        "/infer",
        "/model",
        "/metrics",
        "/health",
        "/docs",
        "/openapi.json",
        "/static-offline-docs/",
        "favicon.png",
        "%0A",
        "%0D",
        "%2F",
        "%2f",
        "%70redict",
        "//",
        "/",
        ";",
        ";a=b",
        "/.",
        "/..",
        "%2E%2E",
        "%00",
        "%C3%A9",
        "%ff",
        ":",
        "@",
    ]
)
QUERIES = st.sampled_from(
    [
        "",
        "?",
        "?features=true",
        "?explain=1",
        "?features=false&features=true",
        "?%66eatures=ON",
        "?a=b",
        "?features=0",
    ]
)
TARGETS = st.builds(
    lambda host, parts, query: f"{host}{''.join(parts)}{query}",
    st.sampled_from(["", "", "", "http://other", "http://other:1"]),
    st.tuples(
        st.just("/") | st.just("/predict") | st.just("/features/") | st.just("/v2/models/m"),
        st.lists(PARTS, max_size=5),
    ).map(lambda pair: [pair[0], *pair[1]]),
    QUERIES,
)


@given(METHODS, TARGETS)
def test_without_a_key_no_target_asks_for_anything(send, method, target):
    assert send(method, target, "")[1] == []


@given(METHODS, TARGETS)
def test_a_key_of_one_scope_asks_for_nothing_of_the_other(send, method, target):
    reached = send(method, target, "predict")[1]
    assert "explain" not in reached
    if reached:
        path = unquote(httptools.parse_url(target.encode()).path.decode())
        assert not path.startswith("/features")
    reached = send(method, target, "features")[1]
    assert set(reached) <= {"one"}
    if reached:
        assert method == "GET"


def test_the_property_sees_what_is_reached(send):
    assert send("POST", "/predict", "predict") == (503, ["one"])
    assert send("POST", "/predict?features=false", "predict") == (503, ["one"])
    assert send("POST", "/%70redict", "predict") == (503, ["one"])
    assert send("GET", f"/features/{ENTITY}", "features") == (503, ["one"])


def test_a_request_that_was_checked_for_another_route_is_refused(send, monkeypatch):
    monkeypatch.setattr(access.Access, "check", lambda self, scope: None)
    assert send("GET", f"/features/{ENTITY}", "") == (403, [])
    assert send("GET", "/health", "") == (403, [])


def test_every_route_is_listed_and_nothing_else():
    needed = access.needs("user_id")
    routes = create_apps(Settings()).predictions._app.routes
    listed = {
        (method, access.path_of(route))
        for route in routes
        for method in getattr(route, "methods", None) or ["GET"]
    }
    assert set(needed) == listed


def test_a_route_that_is_not_listed_does_not_start():
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    application.add_api_route("/secret", lambda: None)
    with pytest.raises(ValueError, match=r"\['GET'\] /secret is not in the list"):
        access.Access(application.routes, access.needs("user_id"), None)


@pytest.mark.parametrize(
    ("query", "shows"),
    [
        ("features=true", True),
        ("explain=1", True),
        ("explain=false&features=yes", True),
        ("features=false&features=true", True),
        ("%66eatures=ON", True),
        ("features=", True),
        ("features=false", False),
        ("features=0&explain=No", False),
        ("other=true", False),
    ],
)
def test_a_prediction_that_shows_features_needs_the_scope_of_features_too(send, query, shows):
    assert (send("POST", f"/predict?{query}", "predict")[0] == 403) == shows


def test_a_revoked_key_is_refused_while_the_watch_of_the_registry_hangs(tmp_path, monkeypatch):
    key, line = new_key("shop", ["predict"])
    file = tmp_path / "keys"
    file.write_text(line)
    hanging = []

    async def started(self):
        """Nothing is served."""

    async def hang(self):
        hanging.append(True)
        await asyncio.Event().wait()

    monkeypatch.setattr(Watch, "start", started)
    monkeypatch.setattr(Watch, "run", hang)
    monkeypatch.setattr("streamflow.predict.app._KEYS_EVERY_SECONDS", 0.05)
    predictions = create_apps(Settings(predict=PredictSettings(api_keys_file=file))).predictions

    async def scenario():
        application = predictions._app
        transport = httpx2.ASGITransport(app=predictions)
        async with (
            application.router.lifespan_context(application),
            httpx2.AsyncClient(transport=transport, base_url="http://predict") as client,
            asyncio.timeout(30),
        ):

            async def ask():
                return (await client.post("/predict", content=BODY, headers={"x-api-key": key})).status_code

            # Without a model the answer is 503, which says that the key was accepted.
            assert await ask() == 503
            file.write_text("# revoked\n")
            while await ask() != 401:
                await asyncio.sleep(0.05)
        assert hanging

    asyncio.run(scenario())

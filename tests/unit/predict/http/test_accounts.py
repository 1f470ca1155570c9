"""Metrics and logs contain path templates and ids, but no personal data."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from streamflow.http.api_keys import new_key
from streamflow.predict.app import create_apps
from streamflow.predict.service import Service
from streamflow.settings import PredictSettings, Settings

KEY = "7590-VHVEG"


@pytest.fixture
def fail(monkeypatch):
    """Make every answer fail with an exception that quotes the key, caused by one that quotes a value."""

    async def one(self, key):
        try:
            raise KeyError("Fibre optic")
        except KeyError as error:
            raise ValueError(f"no row of {key}") from error

    monkeypatch.setattr(Service, "one", one)


@pytest.mark.parametrize(
    ("method", "path", "handler"),
    [
        ("POST", "/predict", "/predict"),
        ("POST", "/predict?features=true", "/predict"),
        ("GET", f"/features/{KEY}", "/features/{user_id}"),
    ],
)
def test_a_failure_is_logged_once_with_the_request_id_and_without_values(
    ask, fail, capfd, caplog, method, path, handler
):
    with structlog.testing.capture_logs() as lines:
        answer = ask(method, path, json={"user_id": KEY}, headers={"x-request-id": "abc-1"})
    assert (answer.status_code, answer.json()["request_id"]) == (500, "abc-1")
    (failed,) = [line for line in lines if line["event"] == "request failed"]
    assert (failed["handler"], failed["request_id"], failed["error"]) == (
        handler,
        "abc-1",
        "builtins.ValueError",
    )
    assert failed["frames"][-1].startswith("test_accounts.fail.<locals>.one:")
    assert [cause["error"] for cause in failed["causes"]] == ["builtins.KeyError"]
    said = json.dumps(lines) + "".join(capfd.readouterr()) + caplog.text
    assert KEY not in said
    assert "Fibre" not in said


def test_a_refused_request_is_counted_under_its_path_template(ask, counted, tmp_path):
    key, line = new_key("shop", ["predict"])
    file = tmp_path / "keys"
    file.write_text(line)
    keys = {"api_keys_file": file}
    bearer = {"authorization": f"Bearer {key}"}
    for handler, method, status, request in (
        ("/predict", "POST", 401, lambda: ask("POST", "/predict", keys)),
        ("/features/{user_id}", "GET", 403, lambda: ask("GET", f"/features/{KEY}", keys, headers=bearer)),
        (
            "/predict",
            "POST",
            413,
            lambda: ask("POST", "/predict", {"max_body_bytes": 1024}, content=b"x" * 1025),
        ),
        ("/predict", "GET", 405, lambda: ask("GET", "/predict")),
        ("unmatched", "GET", 404, lambda: ask("GET", f"/{KEY}")),
    ):
        before = counted(handler, method, status)
        assert request().status_code == status
        assert counted(handler, method, status) == before + 1


def test_a_client_that_disconnects_while_sending_is_not_a_server_error(live, counted):
    middleware = create_apps(Settings(predict=PredictSettings()), live).predictions
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    before, failed = counted("/predict", "POST", 499), counted("/predict", "POST", 500)
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}
    with structlog.testing.capture_logs() as lines:
        asyncio.run(middleware(scope, receive, send))
    assert (sent, lines) == ([], [])
    assert counted("/predict", "POST", 499) == before + 1
    assert counted("/predict", "POST", 500) == failed


def test_the_access_log_names_the_owner_of_a_key_but_not_the_key(ask, tmp_path):
    key, line = new_key("shop", ["predict"])
    file = tmp_path / "keys"
    file.write_text(line)
    settings = {"api_keys_file": file, "access_log": True}
    with structlog.testing.capture_logs() as lines:
        ask("POST", "/predict", settings, content=b"{", headers={"x-api-key": key})
        ask("GET", f"/features/{KEY}", settings, headers={"x-api-key": key})
        ask("GET", "/model", settings)
        # A probe that answers the same as before is not logged.
        ask("GET", "/livez", settings)
    assert [(line["status"], line["key_id"]) for line in lines] == [(422, "shop"), (403, "shop"), (200, None)]
    assert key not in json.dumps(lines)

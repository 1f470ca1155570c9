"""The client of predict against a real HTTP server that answers what a test prepared."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streamflow.client import (
    FeatureValue,
    ModelVersion,
    NotPermitted,
    PredictClient,
    RequestRefused,
    ServiceFailed,
    Unavailable,
    UnexpectedAnswer,
    UnknownEntity,
    Unreachable,
)
from streamflow.errors import DependencyDown, NotFound, Refused, StreamFlowError

PREDICTION = {
    "user_id": "a",
    "probability": 0.1 + 0.2,
    "prediction": False,
    "threshold": 0.5,
    "model": {"name": "m", "version": 3},
    "request_id": "r1",
}


@dataclass
class Prepared:
    """What the server answers, in order (the last one for ever), and what it was asked."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    pause_seconds: float = 0.0

    def answer(self, status: int, document: object, **headers: str) -> None:
        problem = status >= 400
        kind = "application/problem+json" if problem else "application/json"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, {"content-type": kind, **named}, json.dumps(document).encode()))

    def problem(self, status: int, code: str, **members: object) -> None:
        headers = {"retry_after": str(members.pop("retry_after"))} if "retry_after" in members else {}
        document = {
            "status": status,
            "code": code,
            "title": "T",
            "detail": "D.",
            "request_id": "r1",
            **members,
        }
        self.answer(status, document, **headers)


@pytest.fixture
def prepared() -> Iterator[Prepared]:
    state = Prepared()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.asked.append((self.command, self.path, headers, json.loads(body) if body else None))
            time.sleep(state.pause_seconds)
            status, given, content = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            self.send_response(status)
            for name, value in {**given, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            # The client may have given up.
            with contextlib.suppress(OSError):
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = respond  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(prepared: Prepared) -> Iterator[PredictClient]:
    with PredictClient(prepared.url) as opened:
        yield opened


def test_a_prediction_is_read_to_the_last_bit(prepared, client):
    prepared.answer(200, PREDICTION)
    answer = client.predict("a")
    assert (answer.entity, answer.probability, answer.model) == ("a", 0.1 + 0.2, ModelVersion("m", 3))
    assert (answer.features, answer.explanation) == (None, None)
    assert answer.document == PREDICTION
    assert prepared.asked[0][:2] == ("POST", "/predict")
    assert prepared.asked[0][3] == {"user_id": "a"}


def test_values_and_contributions_come_when_asked_for(prepared, client):
    value = {"value": 1.5, "view": "v", "event_timestamp": "2024-03-31T00:00:00+00:00", "age_seconds": 0.0}
    why = {"reference_probability": 0.2, "contributions": {"f": 0.1}, "reference": {"f": 2.0}}
    prepared.answer(200, {**PREDICTION, "features": {"f": value}, "explanation": why})
    answer = client.predict("a", features=True, explain=True)
    assert prepared.asked[0][1] == "/predict?features=true&explain=true"
    assert answer.features == {"f": FeatureValue(1.5, "v", datetime(2024, 3, 31, tzinfo=UTC), 0.0)}
    assert answer.explanation is not None
    assert answer.explanation.contributions == {"f": 0.1}


def test_a_batch_holds_a_probability_or_a_problem_for_each(prepared, client):
    refused = {
        "status": 404,
        "code": "missing_features",
        "title": "T",
        "detail": "D.",
        "reason": "unknown_entity",
    }
    items = [{"user_id": "a", "probability": 0.5, "prediction": True}, {"user_id": "b", "problem": refused}]
    model = {"name": "m", "version": 3}
    prepared.answer(200, {"model": model, "threshold": 0.5, "predictions": items, "request_id": "r"})
    first, second = client.predict_batch(["a", "b"]).predictions
    assert prepared.asked[0][3] == {"user_ids": ["a", "b"]}
    assert (first.probability, first.prediction, first.problem) == (0.5, True, None)
    assert (second.probability, second.problem.reason) == (None, "unknown_entity")


def test_a_key_is_escaped_in_the_path(prepared, client):
    prepared.answer(200, {"user_id": "a/b", "features": {}, "problem": None, "request_id": "r"})
    assert client.features("a/b").entity == "a/b"
    assert prepared.asked[0][1] == "/features/a%2Fb"


def test_api_key_join_key_and_request_id_are_sent(prepared):
    prepared.answer(200, {**PREDICTION, "turbine": "t"})
    with PredictClient(prepared.url + "/", api_key="secret", join_key="turbine") as client:
        assert client.predict("t", request_id="mine").entity == "t"
    _, path, headers, body = prepared.asked[0]
    assert (path, body) == ("/predict", {"turbine": "t"})
    assert (headers["x-api-key"], headers["x-request-id"]) == ("secret", "mine")


@pytest.mark.parametrize(
    ("status", "kind", "parent", "exit_code"),
    [
        (401, NotPermitted, Refused, 3),
        (403, NotPermitted, Refused, 3),
        (404, UnknownEntity, NotFound, 3),
        (422, RequestRefused, Refused, 3),
        (413, RequestRefused, Refused, 3),
        (415, RequestRefused, Refused, 3),
        (500, ServiceFailed, StreamFlowError, 1),
        (503, Unavailable, DependencyDown, 4),
    ],
)
def test_a_problem_document_is_an_exception_of_its_own(prepared, client, status, kind, parent, exit_code):
    prepared.problem(status, "some_code", reason="why", features=["v:f"])
    with pytest.raises(kind) as caught:
        client.predict("a")
    error = caught.value
    assert isinstance(error, parent)
    assert (error.exit_code, error.code, error.what) == (exit_code, "some_code", "D.")
    assert (error.problem.status, error.problem.request_id) == (status, "r1")
    assert error.details == ("reason: why", "features: v:f")
    assert len(prepared.asked) == 1


def test_missing_features_are_named_by_the_sentence_alone(prepared, client):
    prepared.problem(404, "missing_features", reason="unknown_entity", features=["v:f"])
    with pytest.raises(UnknownEntity) as caught:
        client.predict("a")
    assert caught.value.details == ()
    assert caught.value.problem.features == ("v:f",)


def test_overload_is_tried_again_when_the_service_says_when(prepared, client):
    prepared.problem(503, "overloaded", retry_after=0)
    prepared.problem(503, "overloaded", retry_after=0)
    prepared.answer(200, PREDICTION)
    assert client.predict("a").probability == 0.1 + 0.2
    assert len(prepared.asked) == 3


def test_retries_are_bounded(prepared, client):
    prepared.problem(503, "overloaded", retry_after=0)
    with pytest.raises(Unavailable) as caught:
        client.predict("a")
    assert caught.value.retry_after == 0
    assert len(prepared.asked) == 3


def test_without_retries_a_request_is_sent_once(prepared):
    prepared.problem(503, "overloaded", retry_after=60)
    with PredictClient(prepared.url, retries=0) as client, pytest.raises(Unavailable):
        client.predict("a")
    assert len(prepared.asked) == 1


def test_a_refused_connection_is_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.monotonic()
    with PredictClient(f"http://127.0.0.1:{port}", retries=1) as client, pytest.raises(Unreachable) as caught:
        client.predict("a")
    assert time.monotonic() - began >= 0.1
    assert caught.value.what == f"The predict service at http://127.0.0.1:{port} does not answer."
    assert caught.value.details
    assert caught.value.exit_code == 4


def test_a_slow_answer_is_waited_for_no_longer_than_asked_and_not_tried_again(prepared):
    prepared.answer(200, PREDICTION)
    prepared.pause_seconds = 0.5
    with PredictClient(prepared.url, timeout_seconds=0.1) as client, pytest.raises(Unreachable):
        client.predict("a")
    assert len(prepared.asked) == 1


@pytest.mark.parametrize("url", ["not an address", "http://[", "ftp://127.0.0.1"])
def test_an_impossible_address_does_not_answer(url):
    with PredictClient(url, retries=0) as client, pytest.raises(Unreachable):
        client.predict("a")


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b"[]"), (200, b"{}"), (404, b"not here"), (502, b"proxy")]
)
def test_another_server_is_no_predict_service(prepared, client, status, body):
    prepared.answers.append((status, {"content-type": "text/html"}, body))
    with pytest.raises(UnexpectedAnswer, match=f"answered with status {status}") as caught:
        client.predict("a")
    assert (caught.value.status, caught.value.text) == (status, body.decode())


@pytest.mark.parametrize("body", [b"", b"[1]", b"{"])
def test_a_problem_without_a_document_names_the_status(prepared, client, body):
    prepared.answers.append((422, {"content-type": "application/problem+json"}, body))
    with pytest.raises(RequestRefused, match="answered with status 422"):
        client.predict("a")


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False)])
def test_readiness_is_asked_once(prepared, client, status, expected):
    prepared.problem(status, "model_unavailable", retry_after=0)
    assert client.ready() is expected
    assert len(prepared.asked) == 1


def test_health_is_read_from_a_503_too(prepared, client):
    health = {"status": "unavailable", "model": None, "ledger_up": False, "feature_store_up": True}
    prepared.answer(503, {**health, "draining": False})
    answer = client.health()
    assert (answer.status, answer.model, answer.ledger_up) == ("unavailable", None, False)


@pytest.mark.parametrize("ask", [PredictClient.health, PredictClient.ready])
def test_status_of_another_server_is_unexpected(prepared, client, ask: Callable[[PredictClient], object]):
    prepared.answers.append((404, {"content-type": "text/plain"}, b""))
    with pytest.raises(UnexpectedAnswer):
        ask(client)


def test_a_refused_version_and_trials_are_in_the_model(prepared, client):
    refused = {"version": 4, "why": "A digest differs.", "at": "2024-04-01T00:00:00+00:00"}
    trials = {"canary": {"name": "m", "version": 5}}
    prepared.answer(200, {"served": None, "refused": refused, "trials": trials, "ledger_up": True})
    model = client.model()
    assert (model.served, model.trials) == (None, {"canary": ModelVersion("m", 5)})
    assert model.refused is not None
    assert (model.refused.version, model.refused.at.year) == (4, 2024)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_connections_are_kept_only_when_wanted(prepared, keep_alive):
    prepared.answer(200, PREDICTION)
    with PredictClient(prepared.url, keep_alive=keep_alive) as client:
        client.predict("a")
        assert len(client._http._transport._pool.connections) == (1 if keep_alive else 0)

"""Traces of requests, as a collector receives them; and a collector that goes away."""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


class Collector(ThreadingHTTPServer):
    """Takes traces as OTLP over HTTP."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans, self.resources = [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def of(self, trace):
        return {span.name: span for span in list(self.spans) if span.trace_id.hex() == trace}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/traces"
        body = self.rfile.read(int(self.headers["content-length"]))
        for received in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.resources.append(values(received.resource))
            self.server.spans += [span for scope in received.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def values(described):
    """Attributes as a dictionary."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in described.attributes}


@pytest.fixture(scope="module")
def collector():
    server = Collector()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def traced(simulated, start, production, collector):
    production(simulated, 1)
    with start(
        simulated,
        path="/readyz",
        STREAMFLOW_TRACING__ENDPOINT=f"http://127.0.0.1:{collector.server_port}/v1/traces",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
        STREAMFLOW_PREDICT__ACCESS_LOG="true",
        STREAMFLOW_LOG__FORMAT="json",
        OTEL_BSP_SCHEDULE_DELAY="50",
    ) as service:
        yield service


def ask(service, method, path, trace=TRACE, **request):
    return service.client.request(method, path, headers={"traceparent": f"00-{trace}-{CALLER}-01"}, **request)


def test_the_spans_of_a_request_continue_the_callers_trace(traced, collector, users):
    answer = ask(traced, "POST", "/predict", json={"user_id": users[0]})
    assert answer.status_code == 200
    spans = traced.until(lambda: len(found := collector.of(TRACE)) >= 4 and found)
    request = spans.pop("POST /predict")
    assert request.parent_span_id.hex() == CALLER
    assert values(request) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "streamflow.request_id": answer.json()["request_id"],
    }
    assert set(spans) == {"queue", "read features", "run model"}
    assert {span.parent_span_id for span in spans.values()} == {request.span_id}
    queue, read, model = spans["queue"], spans["read features"], spans["run model"]
    # One after the other, within the request.
    moments = [request.start_time_unix_nano, queue.start_time_unix_nano, queue.end_time_unix_nano]
    moments += [read.start_time_unix_nano, read.end_time_unix_nano, model.start_time_unix_nano]
    moments += [model.end_time_unix_nano, request.end_time_unix_nano]
    assert all(later - earlier > -1_000_000 for earlier, later in itertools.pairwise(moments))
    assert values(model) == {
        "streamflow.alias": "production",
        "streamflow.version": 1,
        "streamflow.batch.entities": 1,
    }
    assert values(read) == {**values(model), "db.system.name": "postgresql"}
    assert collector.resources[0]["service.name"] == "streamflow-predict"


def test_the_trace_is_named_in_the_log_and_by_an_exemplar(traced, users):
    other = "0af7651916cd43dd8448eb211c80319c"
    assert ask(traced, "POST", "/predict", other, json={"user_id": users[1]}).status_code == 200
    # Written once the answer is sent.
    written = traced.until(lambda: [x for x in traced.log.read_text("utf-8").splitlines() if other in x])
    lines = [json.loads(line) for line in written]
    assert [(line["msg"], line["handler"], line["trace_id"]) for line in lines] == [
        ("request", "/predict", other)
    ]
    shown = traced.client.get("/metrics", headers=OPENMETRICS).text
    with_exemplars = {
        family.name
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
        if sample.exemplar and sample.exemplar.labels == {"trace_id": other}
    }
    assert with_exemplars == {
        "http_request_duration_seconds",
        "http_request_duration_highr_seconds",
        "request_preprocess_seconds",
        "request_predict_seconds",
    }
    assert other not in traced.client.get("/metrics").text


def test_a_span_has_no_key_of_an_entity_and_every_route_has_its_own(traced, collector, users):
    shared = "11111111111111111111111111111111"
    asked = [
        ("POST", "/predict?explain=true", {"json": {"user_id": users[2]}}),
        ("POST", "/predict/batch", {"json": {"user_ids": users[3:6]}}),
        ("GET", f"/features/{users[2]}", {}),
        ("GET", f"/nowhere/{users[2]}", {}),
        ("GET", "/livez", {}),
    ]
    for method, path, request in asked:
        ask(traced, method, path, shared, **request)
    routes = {"POST /predict", "POST /predict/batch", "GET /features/{user_id}", "GET unmatched"}
    spans = traced.until(lambda: routes < set(found := collector.of(shared)) and found)
    assert set(spans) == routes | {"queue", "read features", "run model", "explain"}
    assert users[2] not in str(collector.spans)


def not_sent(service):
    return service.metric("streamflow_trace_spans_total", result="not_sent")


def test_a_collector_that_goes_away_fails_no_request_and_is_logged_once(traced, collector, users):
    collector.shutdown()
    collector.server_close()
    for _ in range(3):
        before = not_sent(traced)
        for user in users[:20]:
            assert traced.predict(user).status_code == 200
        traced.until(lambda before=before: not_sent(traced) > before)
    said = [line for line in traced.log.read_text("utf-8").splitlines() if "collector" in line]
    assert len(said) == 1
    assert json.loads(said[0])["level"] == "warning"

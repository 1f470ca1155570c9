"""Traces never hold up a request: the queue is bounded, and what is dropped is counted."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from streamflow.errors import UsageError
from streamflow.predict.observe import metrics
from streamflow.predict.observe.otlp import OtlpTracer
from streamflow.predict.observe.stages import Answered
from streamflow.settings import TracingSettings, load

ANSWERED = Answered("/predict", "POST", 200, "r")
PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def silent():
    """URL of a collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"


def traced(url, share=1.0, **limits):
    return OtlpTracer(TracingSettings(endpoint=url, share=share), **limits)


def test_a_collector_that_never_answers_costs_spans_and_no_time(silent):
    dropped = metrics.TRACE_SPANS.labels("queue_full")
    before = dropped._value.get()
    tracer = traced(silent, most_waiting=10)
    began = time.monotonic()
    for _ in range(500):
        tracer.end(tracer.begin(()), ANSWERED)
    assert time.monotonic() - began < 10
    # Ten wait, and up to ten are being sent.
    assert 480 <= dropped._value.get() - before <= 490
    began = time.monotonic()
    tracer.close()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False)])
def test_the_caller_decides_whether_its_request_is_traced(silent, flags, sampled):
    tracer = traced(silent, share=0.0 if sampled else 1.0)
    trace = tracer.begin([(b"traceparent", f"00-{PARENT}-00f067aa0ba902b7-{flags}".encode())])
    assert (trace.trace_id, trace.sampled) == (PARENT, sampled)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("given", [b"", b"00-0-0-0", b"\xff" * 55])
def test_without_a_decision_the_share_decides(silent, given, share):
    trace = traced(silent, share=share).begin([(b"traceparent", given)])
    assert trace.sampled is (share == 1.0)
    assert len(trace.trace_id) == 32


def test_an_address_that_is_no_url_is_refused(monkeypatch):
    monkeypatch.setenv("STREAMFLOW_TRACING__ENDPOINT", "collector:4318")
    with pytest.raises(UsageError, match="not valid") as refused:
        load()
    assert "STREAMFLOW_TRACING__ENDPOINT" in refused.value.details[0]


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded():
    program = """
import sys
from streamflow.predict import server
from streamflow.predict.app import create_apps
from streamflow.settings import Settings
create_apps(Settings())
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Prometheus metrics of the service, named as in prometheus-fastapi-instrumentator and KServe where possible."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from streamflow.predict.observe.histogram import EventLoopHistogram
from streamflow.release import VersionPointer

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_FINE = (
    *_LATENCY[:6],
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    3.5,
    4.0,
    4.5,
    5.0,
    7.5,
    10.0,
    30.0,
    60.0,
)

REQUESTS = Counter("http_requests", "Requests answered", ["handler", "method", "status"])
REQUEST_SECONDS = EventLoopHistogram(
    "http_request_duration_seconds", "Time to answer", ["handler", "method"], buckets=_LATENCY
)
REQUEST_SECONDS_HIGHR = EventLoopHistogram(
    "http_request_duration_highr_seconds", "Time to answer all requests, in fine buckets", buckets=_FINE
)
REQUEST_BYTES = EventLoopHistogram(
    "http_request_size_bytes",
    "Length of the requests' bodies",
    ["handler"],
    buckets=[4.0**power for power in range(3, 12)],
)
IN_PROGRESS = Gauge("http_requests_inprogress", "Requests being answered")
PREPROCESS_SECONDS = Histogram(
    "request_preprocess_seconds", "Time to read features, per batch", ["model_name"], buckets=_LATENCY
)
PREDICT_SECONDS = Histogram(
    "request_predict_seconds", "Time of inference, per batch", ["model_name"], buckets=_LATENCY
)
POSTPROCESS_SECONDS = EventLoopHistogram(
    "request_postprocess_seconds",
    "Time to write the answer, per request",
    ["model_name"],
    buckets=(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, *_LATENCY),
)
EXPLAIN_SECONDS = EventLoopHistogram(
    "request_explain_seconds", "Time to explain, per request", ["model_name"], buckets=_LATENCY
)
BATCH_ENTITIES = Histogram(
    "streamflow_batch_entities",
    "Entities answered by one feature read",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
QUEUE = Gauge("streamflow_queue_requests", "Requests waiting for their batch")
SHED = Counter("streamflow_requests_shed", "Requests refused because the service is at its limit")
PREDICTION_SCORE = EventLoopHistogram(
    "streamflow_prediction_score",
    "Predicted probabilities, including those of a challenger in shadow",
    ["version", "alias"],
    buckets=[i / 10 for i in range(1, 11)],
)
PROBLEMS = Counter("streamflow_problems", "Predictions refused", ["code", "reason"])
FEATURE_MISSING = Counter(
    "streamflow_feature_missing", "Predictions refused because of a missing feature", ["feature"]
)
SHADOW_DIFFERENCE = Histogram(
    "streamflow_shadow_difference",
    "Absolute difference between the challenger's probability and the one answered",
    ["version"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
)
SHADOW_DISAGREEMENTS = Counter(
    "streamflow_shadow_disagreements", "Entities with another prediction by the challenger", ["version"]
)
SHADOW_DROPPED = Counter(
    "streamflow_shadow_dropped", "Entities not scored in shadow, to keep up with requests"
)
SHADOW_PROBLEMS = Counter(
    "streamflow_shadow_problems", "Entities the challenger would have refused", ["version", "code"]
)
CANARY_FELL_BACK = Counter(
    "streamflow_canary_fell_back", "Entities the canary could not answer and production did", ["version"]
)
LOG_WRITTEN = Counter("streamflow_prediction_log_rows", "Answers written to the prediction log")
LOG_DROPPED = Counter(
    "streamflow_prediction_log_dropped", "Answers not written to the prediction log, to keep up"
)
TRIAL_INFO = Gauge("streamflow_trial_info", "Versions on trial", ["name", "version", "alias"])
MODEL_INFO = Gauge("streamflow_model_info", "The served release", ["name", "version", "sha256"])
MODEL_LOADED = Gauge("streamflow_model_loaded_timestamp_seconds", "When the served release was swapped in")
MODEL_AGE = Gauge("streamflow_model_age_seconds", "Time since the served release was swapped in")
MODEL_RELOAD = Counter("streamflow_model_reload", "Attempts to swap a release in", ["result", "reason"])
LEDGER_READ = Gauge("streamflow_ledger_read_timestamp_seconds", "When the ledger of promotions was last read")
STORE_UP = Gauge("streamflow_feature_store_up", "Whether the online store answered the last request")
NEWEST_AS_OF = Gauge(
    "streamflow_newest_as_of_timestamp_seconds", "Newest materialized as-of", ["feature_view"]
)
TRACE_SPANS = Counter("streamflow_trace_spans", "Spans of traces, by what became of them", ["result"])
DRAINING = Gauge("streamflow_draining", "Whether the process is shutting down")


_postprocess_seconds = functools.cache(POSTPROCESS_SECONDS.labels)
_observe_any = REQUEST_SECONDS_HIGHR.labels().observe


@functools.cache
def _of_requests(
    handler: str, method: str, status: int
) -> tuple[Callable[[], None], Callable[[float, str], None], Callable[[float], None]]:
    return (
        REQUESTS.labels(handler, method, str(status)).inc,
        REQUEST_SECONDS.labels(handler, method).observe,
        REQUEST_BYTES.labels(handler).observe,
    )


def answered(
    handler: str, method: str, status: int, seconds: float, size: int | None, trace_id: str = ""
) -> None:
    """Count a request that was answered.

    Args:
        handler: Path template.
        method: HTTP method.
        status: HTTP status of the answer.
        seconds: Time to answer.
        size: Length of the request's body in bytes; None if it was not read.
        trace_id: Id of the request's trace, as an exemplar; empty without one.
    """
    count, observe, observe_size = _of_requests(handler, method, status)
    count()
    observe(seconds, trace_id)
    _observe_any(seconds, trace_id)
    if size is not None:
        observe_size(size)


@contextlib.contextmanager
def postprocessing(model_name: str) -> Iterator[None]:
    """Measure how long the block takes to write an answer."""
    began = time.perf_counter()
    yield
    postprocessed(model_name, time.perf_counter() - began)


def postprocessed(model_name: str, seconds: float) -> None:
    """Record how long it took to write an answer."""
    _postprocess_seconds(model_name).observe(seconds)


def reloaded(pointer: VersionPointer) -> None:
    """Record that a version was swapped in."""
    MODEL_RELOAD.labels("swapped", "").inc()
    MODEL_INFO.clear()
    MODEL_INFO.labels(pointer.name, str(pointer.version), pointer.manifest_sha256).set(1)
    since = time.time()
    MODEL_LOADED.set(since)
    MODEL_AGE.set_function(lambda: time.time() - since)


def unloaded() -> None:
    """Record that nothing is served any more."""
    MODEL_INFO.clear()
    MODEL_LOADED.set(0)
    MODEL_AGE.set_function(lambda: 0.0)


def show_trials(trials: Mapping[str, VersionPointer]) -> None:
    """Record which versions are on trial."""
    TRIAL_INFO.clear()
    for alias, pointer in trials.items():
        TRIAL_INFO.labels(pointer.name, str(pointer.version), alias).set(1)


def exposition(accept: str = "") -> tuple[bytes, str]:
    """All metrics, and their media type.

    Args:
        accept: The header Accept. OpenMetrics, which alone has exemplars, is written if it is asked for.
    """
    encode, media_type = choose_encoder(accept)
    return encode(REGISTRY), media_type

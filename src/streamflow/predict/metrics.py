"""What Prometheus sees of the service. Names follow prometheus-fastapi-instrumentator and KServe where they have one."""

from __future__ import annotations

import time

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from streamflow.registry.release import Release

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

REQUESTS = Counter("http_requests", "Requests answered", ["handler", "method", "status"])
REQUEST_SECONDS = Histogram(
    "http_request_duration_seconds", "Time to answer", ["handler", "method"], buckets=_LATENCY
)
IN_PROGRESS = Gauge("http_requests_inprogress", "Requests being answered")
PREPROCESS_SECONDS = Histogram(
    "request_preprocess_seconds", "Time to read features, per batch", ["model_name"], buckets=_LATENCY
)
PREDICT_SECONDS = Histogram(
    "request_predict_seconds", "Time of inference, per batch", ["model_name"], buckets=_LATENCY
)
BATCH_ENTITIES = Histogram(
    "streamflow_batch_entities",
    "Entities answered by one feature read",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
QUEUE = Gauge("streamflow_queue_requests", "Requests waiting for their batch")
SHED = Counter("streamflow_requests_shed", "Requests refused because the service is at its limit")
PREDICTION_SCORE = Histogram(
    "streamflow_prediction_score",
    "Predicted probabilities",
    ["version"],
    buckets=[i / 10 for i in range(1, 11)],
)
PROBLEMS = Counter("streamflow_problems", "Predictions refused", ["code", "reason"])
FEATURE_MISSING = Counter(
    "streamflow_feature_missing", "Predictions refused for want of a feature", ["feature"]
)
MODEL_INFO = Gauge("streamflow_model_info", "The served release", ["name", "version", "sha256"])
MODEL_LOADED = Gauge("streamflow_model_loaded_timestamp_seconds", "When the served release was swapped in")
MODEL_AGE = Gauge("streamflow_model_age_seconds", "Time since the served release was swapped in")
MODEL_RELOAD = Counter("streamflow_model_reload", "Attempts to swap a release in", ["result", "reason"])
REGISTRY_UP = Gauge("streamflow_model_registry_up", "Whether the registry answered last")
STORE_UP = Gauge("streamflow_feature_store_up", "Whether the online store answered last")
NEWEST_AS_OF = Gauge(
    "streamflow_newest_as_of_timestamp_seconds", "Newest materialized as-of", ["feature_view"]
)
DRAINING = Gauge("streamflow_draining", "Whether the process is about to end")


def reloaded(release: Release) -> None:
    """Note that a release was swapped in."""
    pointer = release.pointer
    MODEL_RELOAD.labels("swapped", "").inc()
    MODEL_INFO.clear()
    MODEL_INFO.labels(pointer.name, str(pointer.version), pointer.manifest_sha256).set(1)
    since = time.time()
    MODEL_LOADED.set(since)
    MODEL_AGE.set_function(lambda: time.time() - since)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)

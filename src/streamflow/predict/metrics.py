"""What Prometheus sees of the service. Names follow prometheus-fastapi-instrumentator and KServe where they have one."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from streamflow.predict.live_model import Served
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
    "Predicted probabilities; those of a challenger in shadow were never answered",
    ["version", "alias"],
    buckets=[i / 10 for i in range(1, 11)],
)
PROBLEMS = Counter("streamflow_problems", "Predictions refused", ["code", "reason"])
FEATURE_MISSING = Counter(
    "streamflow_feature_missing", "Predictions refused for want of a feature", ["feature"]
)
SHADOW_DIFFERENCE = Histogram(
    "streamflow_shadow_difference",
    "Absolute difference between the challenger's probability and the one answered",
    ["version"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
)
SHADOW_DISAGREEMENTS = Counter(
    "streamflow_shadow_disagreements", "Entities for which the challenger decides otherwise", ["version"]
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
LOG_WRITTEN = Counter("streamflow_prediction_log_rows", "Answers written to the log of predictions")
LOG_DROPPED = Counter(
    "streamflow_prediction_log_dropped", "Answers not written to the log of predictions, to keep up"
)
TRIAL_INFO = Gauge("streamflow_trial_info", "Versions on trial", ["name", "version", "alias"])
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


@functools.cache
def _of_requests(
    handler: str, method: str, status: int
) -> tuple[Callable[[], None], Callable[[float], None]]:
    return (
        REQUESTS.labels(handler, method, str(status)).inc,
        REQUEST_SECONDS.labels(handler, method).observe,
    )


def answered(handler: str, method: str, status: int, seconds: float) -> None:
    """Note an answer. Handlers, methods and statuses are few, and looking their series up anew takes time."""
    count, observe = _of_requests(handler, method, status)
    count()
    observe(seconds)


def reloaded(release: Release) -> None:
    """Note that a release was swapped in."""
    pointer = release.pointer
    MODEL_RELOAD.labels("swapped", "").inc()
    MODEL_INFO.clear()
    MODEL_INFO.labels(pointer.name, str(pointer.version), pointer.manifest_sha256).set(1)
    since = time.time()
    MODEL_LOADED.set(since)
    MODEL_AGE.set_function(lambda: time.time() - since)


def show_trials(trials: Mapping[str, Served]) -> None:
    """Note which versions are on trial."""
    TRIAL_INFO.clear()
    for alias, served in trials.items():
        TRIAL_INFO.labels(served.label["name"], str(served.label["version"]), alias).set(1)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)

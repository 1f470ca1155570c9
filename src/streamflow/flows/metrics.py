"""What Prometheus sees of the conductor."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

REGISTRY = CollectorRegistry()
LAST_LOOK = Gauge(
    "streamflow_conductor_last_look_timestamp_seconds",
    "When the conductor last reached Prefect's server; 0 if it has not yet.",
    registry=REGISTRY,
)
TAKEN_OVER = Counter(
    "streamflow_conductor_interrupted_runs_total",
    "Flow runs that lost their process and were started again or cancelled.",
    registry=REGISTRY,
)


def serve(port: int) -> None:
    """Serve the metrics on a TCP port, from a thread."""
    start_http_server(port, registry=REGISTRY)

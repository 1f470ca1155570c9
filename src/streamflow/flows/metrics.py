"""What Prometheus sees of the conductor."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from streamflow.errors import UsageError

REGISTRY = CollectorRegistry()
LAST_LOOK = Gauge(
    "streamflow_conductor_last_look_timestamp_seconds",
    "When the conductor last reached Prefect's server; 0 if it has not yet.",
    registry=REGISTRY,
)
TAKEN_OVER = Counter(
    "streamflow_conductor_interrupted_runs",
    "Flow runs that lost their process and were started again or cancelled.",
    registry=REGISTRY,
)


def serve(port: int) -> None:
    """Serve the metrics on a TCP port, from a thread.

    Raises:
        UsageError: The port is taken.
    """
    try:
        start_http_server(port, registry=REGISTRY)
    except OSError as error:
        raise UsageError(
            f"The conductor cannot serve its metrics at port {port}: {error.strerror}.",
            hint="Does another conductor run here? If not, set STREAMFLOW_PREFECT__STATUS_PORT.",
        ) from error

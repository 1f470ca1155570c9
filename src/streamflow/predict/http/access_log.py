"""What is known of every answered request: its metrics, its line in the access log, and the end of its trace."""

from __future__ import annotations

from streamflow import log
from streamflow.http.probes import Probes
from streamflow.predict.observe import metrics, stages
from streamflow.predict.observe.stages import Answered, Trace, Tracer
from streamflow.predict.service import Service

_LOG = log.get("streamflow.access")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
PROBES = ("/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready")


class AccessLog:
    """Counts requests, and logs those that are worth a line.

    Args:
        service: Says which version is served, and whether every request is logged.
        tracer: Traces requests; None traces none.

    Attributes:
        in_progress: Requests being answered.
    """

    def __init__(self, service: Service, tracer: Tracer | None = None) -> None:
        self._service = service
        self._tracer = tracer
        self._probes = Probes(PROBES)
        self._everything = service.settings.access_log
        self.in_progress = 0
        metrics.IN_PROGRESS.set_function(lambda: float(self.in_progress))

    def failed(self, error: Exception, handler: str, request_id: str, trace: Trace | None = None) -> None:
        """Log a fault of the service."""
        traced = _traced(trace)
        _LOG.error("request failed", handler=handler, request_id=request_id, **traced, **log.describe(error))

    def answered(
        self,
        handler: str,
        method: str,
        status: int,
        seconds: float,
        request_id: str,
        *,
        size: int | None = None,
        key_id: str | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Count and log a request.

        Args:
            handler: Path template; the path itself may contain an entity's key.
            method: HTTP method.
            status: HTTP status.
            seconds: Time to answer.
            request_id: Id of the request.
            size: Length of the body in bytes; None if it was not read.
            key_id: Name of the API key; None without one.
            trace: Trace of the request; None without one.
        """
        method = method if method in _METHODS else "OTHER"
        if trace is None or self._tracer is None:
            metrics.answered(handler, method, status, seconds, size)
        else:
            metrics.answered(handler, method, status, seconds, size, stages.exemplar(trace))
            self._tracer.end(trace, Answered(handler, method, status, request_id))
        if self._probes.repeats(handler, status):
            return
        if handler in self._probes or status >= 500 or self._everything:
            served = self._service.live.served
            _LOG.info(
                "request",
                handler=handler,
                method=method,
                status=status,
                duration_ms=round(seconds * 1000, 2),
                request_id=request_id,
                **_traced(trace),
                key_id=key_id,
                model_version=served.release.pointer.version if served else None,
            )


def _traced(trace: Trace | None) -> dict[str, str]:
    """The fields of a log line that name a trace; empty without tracing."""
    return {} if trace is None else {"trace_id": trace.trace_id}

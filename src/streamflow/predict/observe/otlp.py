"""Traces of requests as OpenTelemetry's spans, sent to a collector as OTLP over HTTP.

The only module that imports the SDK. A request only appends to a bounded queue, from which a thread of the SDK sends.
If the collector is slow or away, spans are dropped and counted, and requests are answered as before.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import streamflow
from streamflow import log
from streamflow.predict.observe import metrics
from streamflow.predict.observe.stages import FEATURES, Answered, Stage, Trace
from streamflow.settings import TracingSettings

_LOG = log.get(__name__)
_BATCH_SPANS = 512
_CLOSE_SECONDS = 2.0
_TRACE_HEADERS = (b"traceparent", b"tracestate")
_NANOSECONDS = 1_000_000_000


class OtlpTracer:
    """Sends the spans of traced requests to a collector.

    What settings leave open, as the time to send a batch or headers with a login, the SDK reads from variables OTEL_*.

    Args:
        settings: Where to send traces, and of which share of the requests.
        most_waiting: Most spans that wait to be sent; further ones are dropped and counted.
    """

    def __init__(self, settings: TracingSettings, most_waiting: int = 2048) -> None:
        # What the SDK logs of a collector that is away is said once, by the exporter below.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = _CountingExporter(OTLPSpanExporter(endpoint=settings.endpoint))
        about = {
            "service.name": "streamflow-predict",
            "service.version": streamflow.__version__,
            "service.instance.id": socket.gethostname(),
        }
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.share)),
            # Attributes of OTEL_RESOURCE_ATTRIBUTES are added.
            resource=Resource.create(about),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(_BoundedProcessor(self._exporter, most_waiting))
        self._tracer = self._provider.get_tracer("streamflow", streamflow.__version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Trace:
        """Begin the trace of a request, as part of the caller's if there is one."""
        given = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers
            if name in _TRACE_HEADERS
        }
        parent = self._propagator.extract(given) if given else Context()
        # Renamed at the end: only then the path's template is known, and the path itself may contain an entity's key.
        span = self._tracer.start_span("request", parent, SpanKind.SERVER)
        context = span.get_span_context()
        return Trace(format_trace_id(context.trace_id), context.trace_flags.sampled, span)

    def end(self, trace: Trace, answered: Answered) -> None:
        """Queue the spans of a request."""
        span = trace.span
        if not trace.sampled:
            span.end()
            return
        trace.dequeue("overloaded")
        now, elapsed = time.time_ns(), time.perf_counter()
        inside = set_span_in_context(span, Context())

        def wall(moment: float) -> int:
            return now - int((elapsed - moment) * _NANOSECONDS)

        for stage in trace.stages:
            kind = SpanKind.CLIENT if stage.name == FEATURES else SpanKind.INTERNAL
            child = self._tracer.start_span(
                stage.name, inside, kind, _attributes(stage), start_time=wall(stage.began)
            )
            if stage.error:
                child.set_status(Status(StatusCode.ERROR, stage.error))
            child.end(wall(stage.ended))
        span.update_name(f"{answered.method} {answered.handler}")
        span.set_attributes(
            {
                "http.request.method": answered.method,
                "http.route": answered.handler,
                "http.response.status_code": answered.status,
                "streamflow.request_id": answered.request_id,
            }
        )
        if answered.status >= 500:
            span.set_attribute("error.type", str(answered.status))
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    def close(self) -> None:
        """Send what waits, for two seconds at most, and stop."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_CLOSE_SECONDS)
        if sending.is_alive():
            # Interrupts a wait between two attempts.
            self._exporter.shutdown()


def _attributes(stage: Stage) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {}
    if stage.alias:
        attributes = {"streamflow.alias": stage.alias, "streamflow.version": stage.version}
    if stage.entities:
        attributes["streamflow.batch.entities"] = stage.entities
    if stage.name == FEATURES:
        attributes["db.system.name"] = "postgresql"
    return attributes


class _CountingExporter(SpanExporter):
    """Counts what another exporter sends, and logs when the collector is away and when it is back."""

    def __init__(self, sender: SpanExporter) -> None:
        self._sender = sender
        self._up = True
        self._lock = threading.Lock()
        self.waiting = 0

    def admit(self, most: int) -> bool:
        """Take a place in the queue, if there is one."""
        with self._lock:
            if self.waiting >= most:
                return False
            self.waiting += 1
            return True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, and count them."""
        with self._lock:
            self.waiting -= len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._sender.export(spans)
        finally:
            up = result is SpanExportResult.SUCCESS
            metrics.TRACE_SPANS.labels("sent" if up else "not_sent").inc(len(spans))
            if up and not self._up:
                _LOG.info("the collector of traces answers again")
            elif self._up and not up:
                _LOG.warning("the collector of traces does not take spans; they are dropped until it does")
            self._up = up
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._sender.shutdown()


class _BoundedProcessor(SpanProcessor):
    """Drops and counts spans beyond the largest number that may wait."""

    def __init__(self, exporter: _CountingExporter, most: int) -> None:
        self._exporter, self._most = exporter, most
        self._batches = BatchSpanProcessor(exporter, most, max_export_batch_size=min(_BATCH_SPANS, most))

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span."""
        if self._exporter.admit(self._most):
            self._batches.on_end(span)
        else:
            metrics.TRACE_SPANS.labels("queue_full").inc()

    def shutdown(self) -> None:
        """Send what waits and stop."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send what waits."""
        return self._batches.force_flush(timeout_millis)

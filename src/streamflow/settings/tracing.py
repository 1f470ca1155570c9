"""Settings of traces."""

from __future__ import annotations

from pydantic import Field

from streamflow.settings.section import Section


class TracingSettings(Section):
    """Traces of the predict service, sent to an OpenTelemetry collector."""

    endpoint: str = Field("", pattern=r"^(https?://[^/\s]+(/\S*)?)?$")
    """URL to which traces are sent as OTLP over HTTP (`http://collector:4318/v1/traces`); empty traces nothing."""
    share: float = Field(1.0, ge=0, le=1)
    """Share of requests to trace, among those whose caller did not decide it in `traceparent`."""

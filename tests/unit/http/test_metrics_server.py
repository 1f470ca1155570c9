"""The metrics server answers in the format that is asked for, and says when a thread of its process has ended."""

import pytest
from prometheus_client import CollectorRegistry, Gauge

from streamflow.http.metrics_server import application


@pytest.mark.parametrize(
    ("healthy", "status", "body"),
    [(True, "200 OK", b"ok\n"), (False, "503 Service Unavailable", b"a part of this process has ended\n")],
)
def test_health_is_that_of_every_part(healthy, status, body):
    said = []
    answer = application(CollectorRegistry(), lambda: healthy)(
        {"PATH_INFO": "/healthz", "REQUEST_METHOD": "GET"}, lambda line, headers: said.append(line)
    )
    assert (said, b"".join(answer)) == ([status], body)


@pytest.mark.parametrize(
    ("accept", "media_type", "end"),
    [
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text",
            b"# EOF\n",
        ),
        ("text/plain;version=0.0.4", "text/plain", b"a 1.0\n"),
    ],
)
def test_metrics_are_written_in_the_format_that_is_asked_for(accept, media_type, end):
    registry = CollectorRegistry()
    Gauge("a", "A", registry=registry).set(1)
    found = {}
    answer = application(registry)(
        {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET", "HTTP_ACCEPT": accept},
        lambda line, headers: found.update(dict(headers)),
    )
    assert found["Content-Type"].split(";")[0] == media_type
    assert b"".join(answer).endswith(end)

"""A process of several threads says when one of them has ended."""

import pytest
from prometheus_client import CollectorRegistry

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

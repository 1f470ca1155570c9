"""A probe is logged when its answer changes, not each time that it is asked."""

import logging

import pytest

from streamflow.http.probes import ProbeFilter, Probes

READY = "/readyz"


def test_only_changes_of_an_answer_do_not_repeat():
    probes = Probes((READY,))
    answers = [200, 200, 503, 503, 503, 200, 503]
    assert [probes.repeats(READY, status) for status in answers] == [
        True,
        True,
        False,
        True,
        True,
        False,
        False,
    ]


def test_other_requests_never_repeat():
    probes = Probes((READY,))
    assert [probes.repeats("/predict", 503) for _ in range(3)] == [False] * 3
    assert "/predict" not in probes
    assert READY in probes


@pytest.mark.parametrize(
    ("arguments", "logged"),
    [
        (("127.0.0.1:1", "GET", "/health", "1.1", 200), False),
        (("127.0.0.1:1", "GET", "/health?from=probe", "1.1", 200), False),
        (("127.0.0.1:1", "GET", "/health", "1.1", 503), True),
        (("127.0.0.1:1", "GET", "/api", "1.1", 200), True),
        ((), True),
    ],
)
def test_the_access_log_of_uvicorn_is_filtered(arguments, logged):
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "", arguments, None)
    assert ProbeFilter(Probes(("/health",))).filter(record) is logged

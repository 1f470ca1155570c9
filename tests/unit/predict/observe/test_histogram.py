"""The lock-free histogram gives the same samples as prometheus_client's."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from streamflow.predict.observe.histogram import EventLoopHistogram

BOUNDS = (0.001, 0.1, 1.0, 2_500_000.0)
VALUES = [0.0, 0.001, 0.0010001, 0.5, 1.0, 1.5, 3e6, 3e6]


def shown(registry):
    """The samples of a scrape, without creation times."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_it_is_exposed_like_the_histogram_of_prometheus_client():
    found = []
    for made in (Histogram, EventLoopHistogram):
        registry = CollectorRegistry()
        labelled = made("seconds", "Time", ["handler", "method"], buckets=BOUNDS, registry=registry)
        plain = made("size", "Length", buckets=BOUNDS, registry=registry)
        for number, value in enumerate(VALUES):
            labelled.labels("/predict", "POST" if number % 2 else "GET").observe(value)
            (plain.labels() if made is EventLoopHistogram else plain).observe(value)
        found.append(shown(registry))
    assert found[0] == found[1]
    assert 'seconds_bucket{handler="/predict",le="0.001",method="GET"} 1.0' in found[1]
    assert "size_count 8.0" in found[1]


def test_a_second_metric_of_the_same_name_is_refused():
    registry = CollectorRegistry()
    EventLoopHistogram("seconds", "Time", buckets=BOUNDS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("seconds", "Time", registry=registry)


def test_a_trace_is_the_exemplar_of_its_bucket_in_openmetrics_alone():
    registry = CollectorRegistry()
    seconds = EventLoopHistogram("seconds", "Time", ["handler"], buckets=BOUNDS, registry=registry)
    seconds.labels("/predict").observe(0.5)
    before = shown(registry)
    seconds.labels("/predict").observe(0.6, "4bf92f3577b34da6a3ce929d0e0e4736")
    assert [line.rsplit(" ", 1)[0] for line in shown(registry)] == [line.rsplit(" ", 1)[0] for line in before]
    [family] = text_string_to_metric_families(openmetrics.generate_latest(registry).decode())
    exemplars = {s.labels["le"]: s.exemplar for s in family.samples if s.exemplar}
    assert list(exemplars) == ["1.0"]
    assert exemplars["1.0"].labels == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert exemplars["1.0"].value == 0.6

"""The event loop's histograms say what prometheus_client's own say of the same values."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from streamflow.predict.observe.histogram import EventLoopHistogram

BOUNDS = (0.001, 0.1, 1.0, 2_500_000.0)
VALUES = [0.0, 0.001, 0.0010001, 0.5, 1.0, 1.5, 3e6, 3e6]


def shown(registry):
    """What a scrape shows, without when a series began."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_it_is_exposed_as_the_usual_histogram_is():
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


def test_two_metrics_of_one_name_are_refused_as_usual():
    registry = CollectorRegistry()
    EventLoopHistogram("seconds", "Time", buckets=BOUNDS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("seconds", "Time", registry=registry)

"""What the exporter tells Prometheus about a database."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from streamflow.monitoring.exporter import PlatformCollector
from streamflow.settings import Settings

NOTHING = MappingProxyType(dict[str, str]())


def samples(settings: Settings, scheduled: Mapping[str, str] = NOTHING) -> list[Sample]:
    """All samples of one scrape."""
    registry = CollectorRegistry()
    registry.register(PlatformCollector(settings.database, settings.mlflow.registered_model, scheduled))
    return [sample for metric in registry.collect() for sample in metric.samples]


def by_label(settings: Settings, name: str, label: str) -> dict[str, float]:
    """Values of one metric, by one of its labels."""
    return {each.labels[label]: each.value for each in samples(settings) if each.name == name}

"""Settings of Spark, which computes training sets, materializations and scores with `engine: spark`."""

from __future__ import annotations

from pydantic import Field

from streamflow.settings.section import Section


class SparkSettings(Section):
    """Spark sessions."""

    master: str = "local[2]"
    """Where Spark runs: `local[N]` in this process with N threads, or `k8s://https://HOST:PORT` with executors as pods.
    """
    driver_memory: str = Field("2g", pattern=r"^[0-9]+[mg]$")
    """Heap of the driver's Java process."""
    conf: dict[str, str] = Field(default_factory=dict)
    """Further properties of Spark, by name."""

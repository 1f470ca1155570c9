"""The place that the settings choose for jobs."""

from __future__ import annotations

from pathlib import Path

from streamflow.flows.kubernetes import Kubernetes
from streamflow.flows.machine import Machine
from streamflow.flows.places import Place
from streamflow.settings import PrefectSettings


def place(home: Path, prefect: PrefectSettings) -> Place:
    """This machine, or the namespace of this pod, as `prefect.jobs_on` says."""
    if prefect.jobs_on == "kubernetes":
        return Kubernetes(prefect.release or None, prefect.poll_seconds)
    return Machine(home, prefect)

"""The jobs by name, as `streamflow jobs exec NAME` and thereby each CronJob runs them.

A job has the same name in five places: the recipe `jobs/NAME.py` with a function of that name,
`k8s-jobs/NAME.yaml`, the command `streamflow NAME` or `streamflow jobs exec NAME`, `jobs.NAME` in the chart's
values, and the label `job_name` of its metrics.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from streamflow.errors import NotFound
from streamflow.postgres.job_results import JobResult
from streamflow.settings import Settings

Recipe = Callable[[Settings], JobResult]

JOBS = (
    *("ingest", "materialize", "train", "score", "parity", "monitor"),
    *("audit", "backup", "restore", "erase", "retention", "promote"),
)


@functools.cache
def recipe(name: str) -> Recipe:
    """The recipe of a job.

    Raises:
        NotFound: There is no such job.
    """
    if name not in JOBS:
        raise NotFound(f"There is no job '{name}'.", hint=f"Jobs: {', '.join(JOBS)}.")

    def load_and_run(settings: Settings) -> JobResult:
        # Only this recipe, and only once the run has begun: Feast and MLflow take seconds and much memory to load.
        found: Recipe = getattr(importlib.import_module(f"{__package__}.{name}"), name)
        return found(settings)

    return load_and_run

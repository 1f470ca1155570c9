"""Judge what is new about what is served: drift, quality and harm, each once for a drop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from streamflow.errors import NotYet
from streamflow.monitoring.drift import judge as drift
from streamflow.monitoring.harm import judge as harm
from streamflow.monitoring.quality import judge as quality
from streamflow.settings import Backends, MonitoringSettings

_FOR_SCORES = timedelta(days=1)
"""The job `score` has this long for a drop, before its features are judged without its scores."""


@dataclass(frozen=True)
class Verdicts:
    """What was judged.

    Attributes:
        drift: Verdict on the drift of the newest drop; empty if nothing is in production.
        quality: Number of figures of quality that were recorded.
        harm_id: Newest verdict that the version in production does harm, unless a training has answered it.
    """

    drift: str
    quality: int
    harm_id: int | None


def judge(backends: Backends, settings: MonitoringSettings) -> Verdicts:
    """Judge the months that are new, and record the verdicts.

    Args:
        backends: PostgreSQL, the registered model, the feature repo, and where the rows are.
        settings: What counts as drift and as harm.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        UsageError: The feature repo cannot be loaded.
    """
    model, repo, lake = backends.mlflow.registered_model, backends.feast.repo, backends.lake
    try:
        drifted = drift.judge(
            backends.database, model, repo, settings, lake=lake, patience=_FOR_SCORES
        ).verdict
    except NotYet:
        drifted = ""
    figures = quality.judge(backends.database, model, repo, settings, lake=lake)
    served = harm.judge(backends.database, model, repo, settings, lake)
    return Verdicts(drifted, len(figures), served.harm.harm_id if served and served.harm else None)

"""Versions on trial: a canary answers a share of the entities, a challenger is scored in shadow and never answered."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.predict.models.live_model import Served
from streamflow.predict.observe import metrics
from streamflow.predict.outcome import Outcome


def count_differences(served: Served, answered: Sequence[Outcome], shadow: Sequence[Outcome]) -> None:
    """Count how the challenger's outcomes differ from those answered."""
    version = str(served.release.pointer.version)
    difference = metrics.SHADOW_DIFFERENCE.labels(version)
    for given, other in zip(answered, shadow, strict=True):
        if other.problem is not None:
            metrics.SHADOW_PROBLEMS.labels(version, other.problem.code).inc()
        elif given.probability is not None and other.probability is not None:
            difference.observe(abs(given.probability - other.probability))
            if given.prediction != other.prediction:
                metrics.SHADOW_DISAGREEMENTS.labels(version).inc()

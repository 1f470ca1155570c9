"""Compares a challenger that is scored in shadow with the answers that were given."""

from __future__ import annotations

from collections.abc import Sequence

from streamflow.predict.models.live_model import Served
from streamflow.predict.observe import metrics
from streamflow.predict.outcome import Outcome


def count_differences(served: Served, answered: Sequence[Outcome], shadow: Sequence[Outcome]) -> None:
    """Count where the challenger's outcomes differ from the answers.

    Args:
        served: The challenger.
        answered: The answers that were given.
        shadow: The challenger's outcomes for the same entities, in the same order.
    """
    version = str(served.release.pointer.version)
    difference = metrics.SHADOW_DIFFERENCE.labels(version)
    for given, other in zip(answered, shadow, strict=True):
        if other.problem is not None:
            metrics.SHADOW_PROBLEMS.labels(version, other.problem.code).inc()
        elif given.probability is not None and other.probability is not None:
            difference.observe(abs(given.probability - other.probability))
            if given.prediction != other.prediction:
                metrics.SHADOW_DISAGREEMENTS.labels(version).inc()

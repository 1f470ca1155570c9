"""Versions on trial: a canary answers a share of the entities, a challenger is scored in shadow and never answered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from streamflow.predict import metrics
from streamflow.predict.live_model import Served
from streamflow.predict.outcome import Outcome

_BUCKETS = 1 << 32


def in_canary(key: str, share: float) -> bool:
    """Whether an entity belongs to the canary's share: the same entities always, more of them as the share grows."""
    digest = hashlib.blake2b(key.encode(), digest_size=4, person=b"canary").digest()
    return int.from_bytes(digest, "big") < share * _BUCKETS


def compare(served: Served, answered: Sequence[Outcome], shadow: Sequence[Outcome]) -> None:
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

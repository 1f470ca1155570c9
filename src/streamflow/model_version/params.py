"""Names of the parameters that a training run logs and that the gate and `reproduce` read back, each once."""

from __future__ import annotations

AS_OF = "as_of"
KNOWN_AT = "known_at"
LABEL_AS_OF = "label_as_of"
LABEL_HORIZON = "label_horizon"

DROP_IDS = "drop_ids"
"""Ids of the newest drops, separated by commas; a parameter is too short for all."""

DROPS = "drops"
DROPS_DIGEST = "drops_digest"
FEATURE_SERVICE = "feature_service"
ESTIMATOR = "estimator"
SEED = "seed"
HOLDOUT_SHARE = "holdout_share"
FOLDS = "folds"
THREADS = "threads"
THRESHOLD = "threshold"
ROWS = "rows"
POSITIVES = "positives"

SPLIT_DIGEST = "split_digest"
"""Digest of the holdout's keys: which rows the estimator was not fitted on."""


def of_estimator(name: str) -> str:
    """Name of the parameter that holds the estimator's own parameter `name`."""
    return f"{ESTIMATOR}.{name}"

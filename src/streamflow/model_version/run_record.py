"""What a training run records about itself as MLflow parameters, written by `train` and read back by gate and audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
FOREST_ROWS = "forest_rows"
LEARNED_ROWS = "learned_rows"
THRESHOLD = "threshold"
THRESHOLD_RULE = "threshold_rule"
CALIBRATION = "calibration"
ROWS = "rows"
POSITIVES = "positives"

SPLIT_DIGEST = "split_digest"
"""Digest of the holdout's keys: which rows the estimator was not fitted on."""

_OF_ESTIMATOR = f"{ESTIMATOR}."
_NEWEST_DROPS = 20


@dataclass(frozen=True)
class RunRecord:
    """The parameters of a finished training run.

    Attributes:
        as_of: As-of of the training set.
        known_at: Time up to which loaded rows were visible.
        label_as_of: As-of of the drop that the labels come from.
        label_horizon: How many drops the label lies after the features.
        drop_ids: Ids of the newest drops, oldest first.
        drops: Number of drops.
        drops_digest: Digest of all drops; None in a run that recorded none.
        feature_service: Name of the feature service.
        estimator: Name of the estimator.
        seed: Seed of the split and of the estimator.
        holdout_share: Share of the rows that is held out.
        folds: Number of cross-validation folds.
        threads: Threads of the training; None in a run that recorded none.
        forest_rows: Most training rows that a forest could learn from; 0, which is all, in a run that recorded none.
        learned_rows: Training rows that the estimator learned from; None in a run that recorded none.
        threshold: Probability from which an answer is positive.
        threshold_rule: How it was chosen; the number itself in a run that recorded no rule.
        calibration: Curve behind the classifier; `none` in a run that recorded none.
        rows: Number of rows of the training set.
        positives: Number of rows whose label is True.
        split_digest: Digest of the holdout's keys.
        hyperparameters: The estimator's own parameters, as text, by name.
    """

    as_of: datetime
    known_at: datetime
    label_as_of: datetime
    label_horizon: int
    drop_ids: tuple[str, ...]
    drops: int
    drops_digest: str | None
    feature_service: str
    estimator: str
    seed: int
    holdout_share: float
    folds: int
    threads: int | None
    forest_rows: int
    learned_rows: int | None
    threshold: float
    threshold_rule: str
    calibration: str
    rows: int
    positives: int
    split_digest: str
    hyperparameters: dict[str, str]

    def parameters(self) -> dict[str, str]:
        """The MLflow parameters of the run. Pure."""
        written = {
            AS_OF: self.as_of.isoformat(),
            KNOWN_AT: self.known_at.isoformat(),
            LABEL_AS_OF: self.label_as_of.isoformat(),
            LABEL_HORIZON: self.label_horizon,
            DROP_IDS: ",".join(self.drop_ids[-_NEWEST_DROPS:]),
            DROPS: self.drops,
            DROPS_DIGEST: self.drops_digest,
            FEATURE_SERVICE: self.feature_service,
            ESTIMATOR: self.estimator,
            SEED: self.seed,
            HOLDOUT_SHARE: self.holdout_share,
            FOLDS: self.folds,
            THREADS: self.threads,
            FOREST_ROWS: self.forest_rows,
            LEARNED_ROWS: self.learned_rows,
            THRESHOLD: self.threshold,
            THRESHOLD_RULE: self.threshold_rule,
            CALIBRATION: self.calibration,
            ROWS: self.rows,
            POSITIVES: self.positives,
            SPLIT_DIGEST: self.split_digest,
            **of_estimator(self.hyperparameters),
        }
        return {name: str(value) for name, value in written.items() if value is not None}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> RunRecord:
        """Read the parameters of a run back. Pure.

        Raises:
            ValueError: A parameter is missing or has no value of its type, so no training of StreamFlow wrote them.
        """
        try:
            return cls(
                as_of=datetime.fromisoformat(parameters[AS_OF]),
                known_at=datetime.fromisoformat(parameters[KNOWN_AT]),
                label_as_of=datetime.fromisoformat(parameters[LABEL_AS_OF]),
                label_horizon=int(parameters[LABEL_HORIZON]),
                drop_ids=tuple(filter(None, parameters[DROP_IDS].split(","))),
                drops=int(parameters[DROPS]),
                drops_digest=parameters.get(DROPS_DIGEST),
                feature_service=parameters[FEATURE_SERVICE],
                estimator=parameters[ESTIMATOR],
                seed=int(parameters[SEED]),
                holdout_share=float(parameters[HOLDOUT_SHARE]),
                folds=int(parameters[FOLDS]),
                threads=int(parameters[THREADS]) if THREADS in parameters else None,
                forest_rows=int(parameters.get(FOREST_ROWS, 0)),
                learned_rows=int(parameters[LEARNED_ROWS]) if LEARNED_ROWS in parameters else None,
                threshold=float(parameters[THRESHOLD]),
                threshold_rule=parameters.get(THRESHOLD_RULE, parameters[THRESHOLD]),
                calibration=parameters.get(CALIBRATION, "none"),
                rows=int(parameters[ROWS]),
                positives=int(parameters[POSITIVES]),
                split_digest=parameters[SPLIT_DIGEST],
                hyperparameters={
                    name.removeprefix(_OF_ESTIMATOR): value
                    for name, value in parameters.items()
                    if name.startswith(_OF_ESTIMATOR)
                },
            )
        except KeyError as error:
            raise ValueError(f"the run has no parameter {error}") from error


def of_estimator(values: Mapping[str, str]) -> dict[str, str]:
    """The MLflow parameters that hold the parameters of an estimator. Pure."""
    return {f"{_OF_ESTIMATOR}{name}": value for name, value in values.items()}


def hyperparameters(estimator: Any) -> dict[str, str]:
    """The parameters of a scikit-learn estimator that are plain values, as text, by name. Pure."""
    return {
        name: str(value)
        for name, value in estimator.get_params(deep=True).items()
        if isinstance(value, (str, int, float, bool, type(None)))
    }

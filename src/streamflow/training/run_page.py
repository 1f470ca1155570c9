"""What MLflow's page of a run shows beside figures and files: who trained it, from where, and on which data."""

from __future__ import annotations

import getpass

from streamflow.model_version import run_record
from streamflow.model_version.training_set import TrainingSet
from streamflow.training.fit import Fitted

SOURCE = "streamflow train"
"""Where a run comes from."""


def user(account: str) -> str:
    """Who trains: the account of MLflow, else the login of the machine; "" where there is neither."""
    try:
        return account or getpass.getuser()
    except (KeyError, OSError):
        # The user of a container needs no name.
        return ""


def name(data: TrainingSet, estimator: str) -> str:
    """Name of a run and of its model. Pure."""
    return f"{estimator} as of {data.as_of.date()}"


def description(data: TrainingSet, fitted: Fitted) -> str:
    """A run in a sentence, and how to repeat it. Pure."""
    return (
        f"{fitted.estimator} as of {data.as_of:%Y-%m-%d}, on the labels of {data.label_as_of:%Y-%m-%d}, as known at"
        f" {data.known_at:%Y-%m-%d %H:%M:%S} UTC: {len(data.frame):,} rows, {data.positives:,} positive,"
        f" AUC {fitted.metrics['auc']:.4f} on the holdout.{_learned(fitted)}\n\n"
        "`streamflow reproduce` and the id of this run train it again."
    )


def _learned(fitted: Fitted) -> str:
    rows, learned = len(fitted.split.train), fitted.learned_rows
    if learned == rows:
        return ""
    return f" It learned from {learned:,} of {rows:,} training rows, a sample by the SHA-256 of their keys."


def data_set_name(data: TrainingSet) -> str:
    """Name of a training set among the data sets of MLflow. Pure."""
    return f"training set as of {data.as_of:%Y-%m-%d}"


def data_set_digest(data: TrainingSet) -> str:
    """The fingerprint without the number of rows that it begins with: MLflow takes 36 characters. Pure."""
    return data.fingerprint[8:]


def data_set_facts(data: TrainingSet, drops_digest: str) -> dict[str, str]:
    """What a training set is made of, none of it a person's. Pure."""
    return {
        run_record.AS_OF: data.as_of.isoformat(),
        run_record.LABEL_AS_OF: data.label_as_of.isoformat(),
        run_record.KNOWN_AT: data.known_at.isoformat(),
        run_record.DROPS_DIGEST: drops_digest,
        "fingerprint": data.fingerprint,
    }

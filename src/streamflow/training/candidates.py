"""Record each candidate of a training as a run of its own, below that of the training in MLflow's pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from streamflow.mlflow_api import sdk
from streamflow.model_version import run_record
from streamflow.settings import TrainingSettings
from streamflow.training.fit import CrossValidated, Fitted


def record(
    client: Any,
    experiment: str,
    parent: str,
    training: TrainingSettings,
    fitted: Fitted,
    shown: Mapping[str, Any],
    began: datetime,
) -> None:
    """Record the candidates; one that cannot be served is a failed run, whose description says why.

    Args:
        client: Client from `sdk.client`.
        experiment: Id of the experiment.
        parent: Run of the training.
        training: How the model was trained.
        fitted: The candidates, and which was chosen.
        shown: What `sdk.page_tags` takes to show who trained.
        began: When the training began.
    """

    def run(name: str, description: str) -> str:
        tags = sdk.page_tags(**{**shown, "description": description, "parent": parent})
        made = client.create_run(
            experiment, start_time=int(began.timestamp() * 1000), run_name=f"candidate {name}", tags=tags
        )
        return str(made.info.run_id)

    for name, candidate in fitted.candidates.items():
        run_id = run(name, described(name, candidate, fitted.estimator))
        sdk.log_figures(
            client,
            run_id,
            metrics=figures(candidate),
            series={"auc_of_fold": candidate.auc_by_fold},
            params={
                run_record.ESTIMATOR: name,
                run_record.SEED: training.seed,
                run_record.FOLDS: training.folds,
                **run_record.of_estimator(candidate.hyperparameters),
            },
        )
        client.set_terminated(run_id, "FINISHED")
    for name, why in fitted.left_out.items():
        client.set_terminated(run(name, f"Left out, because it cannot be served: {why}"), "FAILED")


def described(name: str, candidate: CrossValidated, chosen: str) -> str:
    """A candidate in a sentence. Pure."""
    outcome = "It was chosen." if name == chosen else f"{chosen} was chosen."
    return (
        f"{name}, cross-validated on {len(candidate.auc_by_fold)} folds of {len(candidate.rows):,} training rows:"
        f" mean AUC {candidate.auc:.4f}. {outcome}"
    )


def figures(candidate: CrossValidated) -> dict[str, float]:
    """The metrics of a candidate. Pure."""
    return {
        "cv_auc": candidate.auc,
        "cv_auc_deviation": float(np.std(candidate.auc_by_fold)),
        "cv_seconds": candidate.seconds,
    }

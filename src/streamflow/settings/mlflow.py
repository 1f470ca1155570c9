"""Settings of MLflow's tracking server and model registry."""

from __future__ import annotations

from pydantic import Field

from streamflow.settings.section import Section


class MlflowSettings(Section):
    """MLflow's tracking server and model registry."""

    tracking_uri: str = "http://127.0.0.1:5000"
    """URL of the MLflow server."""
    experiment: str = "streamflow"
    """MLflow experiment that training runs belong to."""
    registered_model: str = "streamflow_churn"
    """Registered model whose versions are trained, promoted and served."""
    timeout_seconds: float = Field(10.0, gt=0)
    """Longest time of one request to MLflow, in seconds."""

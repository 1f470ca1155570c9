"""Settings of MLflow's tracking server and model registry."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from streamflow.settings.section import Section, text_of


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
    username: str = ""
    """Account to log in to MLflow as; empty if MLflow asks for no login."""
    password: SecretStr = SecretStr("")
    """Password of the account; `password_file` is safer."""
    password_file: Path | None = None
    """File with the password; overrides `password`."""
    accounts_folder: Path | None = None
    """Folder with the passwords of all accounts of MLflow's server, which a restore sets in the restored database."""
    names_moves: bool = False
    """Whether MLflow runs StreamFlow's app, which records who moves what; otherwise moves in MLflow are by "unknown"."""

    @property
    def secret(self) -> str:
        """The password in plain text; a file is read each time, because Kubernetes updates mounted Secrets."""
        if self.password_file is None:
            return self.password.get_secret_value()
        return text_of(self.password_file, "STREAMFLOW_MLFLOW__PASSWORD_FILE")

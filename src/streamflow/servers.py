"""How MLflow's and Feast's servers are started: credentials come from files, never from a command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from streamflow.errors import StreamFlowError
from streamflow.postgres import locks
from streamflow.settings import Settings

# For the laptop and the cluster alike: no job workers (they execute code and take 1 GB), no pickle, no telemetry.
MLFLOW_SWITCHES = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Variables of MLflow's server: its database and the security switches.

    MLflow's driver is psycopg2: with psycopg 3 it fails to archive versions on a stage transition.
    """
    return {
        "MLFLOW_BACKEND_STORE_URI": settings.database.url("postgresql+psycopg2"),
        **MLFLOW_SWITCHES,
    }


def mlflow_command(host: str, port: int, workers: int, artifacts: str, *, metrics: bool = True) -> list[str]:
    """Command of MLflow's server; clients reach artifacts through it alone."""
    command = ["mlflow", "server", "--host", host, "--port", str(port), "--workers", str(workers)]
    command += ["--serve-artifacts", "--artifacts-destination", artifacts]
    return [*command, "--expose-prometheus", "/tmp/prometheus"] if metrics else command  # noqa: S108


def feast_environment(settings: Settings) -> dict[str, str]:
    """Variables that `feature_store.yaml` refers to."""
    return {**settings.database.variables, "FEAST_USAGE": "False"}


def feast_command(repo: Path, host: str, port: int, workers: int, *, metrics: bool) -> list[str]:
    """Command of Feast's feature server."""
    command = ["feast", "-c", str(repo), "serve", "-h", host, "-p", str(port), "-w", str(workers)]
    # By default a worker ends after 1,000 requests, and nothing answers until the next one has started.
    command += ["--no-access-log", "--max-requests", "0"]
    return [*command, "--metrics"] if metrics else command


def upgrade_mlflow(settings: Settings) -> None:
    """Bring MLflow's database to the installed version's schema, one at a time.

    Raises:
        StreamFlowError: MLflow could not do it.
    """
    with locks.exclusive(settings.database, locks.MLFLOW_UPGRADE):
        url = settings.database.url("postgresql+psycopg2")
        # A child process reads the address from its environment, so that no command line shows the password.
        code = "import os; from mlflow.db import upgrade; upgrade.callback(os.environ['STREAMFLOW_BACKEND'])"
        environment = {**os.environ, **MLFLOW_SWITCHES, "STREAMFLOW_BACKEND": url}
        done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
        if done.returncode:
            raise StreamFlowError(
                f"MLflow could not upgrade its database '{settings.database.name}'.",
                hint="See its message above. Restore the last backup if it stopped half way.",
            )


def become(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process with a server: it takes over the process id, and so receives the signals."""
    os.execvpe(command[0], command, {**os.environ, **environment})  # noqa: S606

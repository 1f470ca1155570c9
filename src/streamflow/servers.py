"""Commands and environments of MLflow's and Feast's servers. No command line contains a password."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from streamflow import mlflow_server
from streamflow.errors import StreamFlowError
from streamflow.mlflow_server.accounts import ADMIN, create, passwords_in
from streamflow.postgres import locks
from streamflow.settings import Settings

# No job workers, which execute code and take 1 GB; no pickle; no telemetry.
MLFLOW_SWITCHES = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def mlflow_environment(settings: Settings, accounts: Path | None = None) -> dict[str, str]:
    """Environment variables of MLflow's server: its database, `MLFLOW_SWITCHES`, and what its logins need.

    The driver must be psycopg2: with psycopg 3, MLflow fails to archive versions on a stage transition.

    Args:
        settings: Settings whose database is MLflow's.
        accounts: Folder with the passwords of the accounts; None for a server without logins.
    """
    variables = {
        "MLFLOW_BACKEND_STORE_URI": settings.database.url("postgresql+psycopg2"),
        **MLFLOW_SWITCHES,
    }
    if accounts is None:
        return variables
    admin = passwords_in(accounts)[ADMIN]
    return {
        **variables,
        **settings.database.libpq,
        "MLFLOW_AUTH_CONFIG_PATH": str(Path(mlflow_server.__file__).with_name("auth.ini")),
        # What MLflow has no rule for is denied.
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        # All replicas need the same key for the forms of MLflow's pages.
        "MLFLOW_FLASK_SERVER_SECRET_KEY": hashlib.pbkdf2_hmac(
            "sha256", admin.encode(), b"MLflow's forms", 600_000
        ).hex(),
    }


def mlflow_command(
    host: str, port: int, workers: int, artifacts: str, *, metrics: bool = True, logins: bool = False
) -> list[str]:
    """Command that starts MLflow's server, which proxies all access to artifacts."""
    command = ["mlflow", "server", "--host", host, "--port", str(port), "--workers", str(workers)]
    command += ["--app-name", "streamflow" if logins else "streamflow-open"]
    command += ["--serve-artifacts", "--artifacts-destination", artifacts]
    return [*command, "--expose-prometheus", _metrics_folder()] if metrics else command


def make_metrics_folder() -> None:
    """Make the folder of MLflow's metrics: with logins, MLflow writes there before it makes it."""
    Path(_metrics_folder()).mkdir(parents=True, exist_ok=True)


def _metrics_folder() -> str:
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR", "/tmp/prometheus")  # noqa: S108


def feast_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of Feast's server, to which `feature_store.yaml` refers."""
    return {**settings.database.variables, "FEAST_USAGE": "False"}


def feast_command(repo: Path, host: str, port: int, workers: int, *, metrics: bool) -> list[str]:
    """Command that starts Feast's feature server."""
    command = [
        sys.executable,
        "-m",
        "streamflow.features.feast_cli",
        "-c",
        str(repo),
        "serve",
        "-h",
        host,
        "-p",
        str(port),
        "-w",
        str(workers),
    ]
    # By default a worker exits after 1,000 requests, and nothing answers until its successor has started.
    command += ["--no-access-log", "--max-requests", "0"]
    return [*command, "--metrics"] if metrics else command


def upgrade_mlflow(settings: Settings, accounts: Path | None = None) -> None:
    """Upgrade the schema of MLflow's database to the installed version, and create the accounts of its server.

    Takes a lock, because if two processes upgrade an empty database at the same time, one fails.

    Args:
        settings: Settings whose database is MLflow's.
        accounts: Folder with the passwords of the accounts; None for a server without logins.

    Raises:
        UsageError: A password is absent or too short.
        StreamFlowError: The upgrade failed.
    """
    if accounts is not None:
        # A password that MLflow would not accept is refused before anything is changed.
        passwords_in(accounts)
    with locks.exclusive(settings.database, locks.MLFLOW_UPGRADE):
        url = settings.database.url("postgresql+psycopg2")
        # Not `mlflow db upgrade URL`: other users can read the password in a command line.
        code = "import os; from mlflow.db import upgrade; upgrade.callback(os.environ['STREAMFLOW_BACKEND'])"
        environment = {**os.environ, **MLFLOW_SWITCHES, "STREAMFLOW_BACKEND": url}
        done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
        if done.returncode:
            raise StreamFlowError(
                f"MLflow could not upgrade its database '{settings.database.name}'.",
                hint="See its message above. Restore the last backup if it stopped half way.",
            )
        if accounts is not None:
            create(url, accounts)


def become(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process with a server, which keeps the process id and so receives the signals."""
    os.execvpe(command[0], command, {**os.environ, **environment})  # noqa: S606

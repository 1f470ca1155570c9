"""Start MLflow's or Feast's server with credentials from files, never from a command line.

python -m streamflow.servers mlflow-upgrade
python -m streamflow.servers mlflow --host 0.0.0.0 --port 5000 --artifacts /artifacts
python -m streamflow.servers feast --host 0.0.0.0 --port 6566 --metrics
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from streamflow import settings as settings_module
from streamflow.errors import StreamFlowError
from streamflow.postgres.engine import exclusive
from streamflow.settings import Settings


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Variables of MLflow's server: where its backend is, and nothing that runs code or calls home.

    MLflow's driver is psycopg2: with psycopg 3 it fails to archive versions on a stage transition.
    """
    return {
        "MLFLOW_BACKEND_STORE_URI": settings.database.url("postgresql+psycopg2"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
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
    # Not a worker that ends after 1,000 requests, as is the default: nothing answers until the next one has started.
    command += ["--no-access-log", "--max-requests", "0"]
    return [*command, "--metrics"] if metrics else command


def upgrade_mlflow(settings: Settings) -> None:
    """Bring MLflow's database to the installed version's schema, one at a time.

    Raises:
        StreamFlowError: MLflow could not do it.
    """
    with exclusive(settings, "mlflow-upgrade"):
        url = settings.database.url("postgresql+psycopg2")
        # A child of ours reads the address from its environment, so that no command line shows the password.
        code = "import os; from mlflow.db import upgrade; upgrade.callback(os.environ['STREAMFLOW_BACKEND'])"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "STREAMFLOW_BACKEND": url}, check=False
        )
        if done.returncode:
            raise StreamFlowError(
                f"MLflow could not upgrade its database '{settings.database.name}'.",
                hint="Its message stands above. Restore the last backup if it stopped half way.",
            )


def main(arguments: list[str]) -> int:
    """Become the server that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m streamflow.servers")
    parser.add_argument("server", choices=["mlflow", "mlflow-upgrade", "feast"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--artifacts", default="mlartifacts")
    parser.add_argument("--metrics", action="store_true")
    options = parser.parse_args(arguments)
    try:
        settings = settings_module.load()
        if options.server == "mlflow-upgrade":
            upgrade_mlflow(settings)
            return 0
        if options.server == "mlflow":
            command = mlflow_command(
                options.host, options.port, options.workers, options.artifacts, metrics=options.metrics
            )
            environment = mlflow_environment(settings)
        else:
            command = feast_command(
                settings.feast.repo, options.host, options.port, options.workers, metrics=options.metrics
            )
            environment = feast_environment(settings)
    except StreamFlowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    os.execvpe(command[0], command, {**os.environ, **environment})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

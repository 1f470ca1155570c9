"""Prefect beside a local stack: its server, and the conductor of the flows, from an environment of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamflow.local import home as homes
from streamflow.local import services
from streamflow.local.home import LOOPBACK
from streamflow.local.prefect_python import interpreter
from streamflow.local.services import CONDUCTOR, PREFECT, Service
from streamflow.settings import PrefectSettings, Settings

# What the jobs that the conductor starts are set to do.
_OF_JOBS = ("INGEST", "PROMOTION", "TRAINING", "SCORING", "JOBS", "PREFECT")


def section(base: PrefectSettings, home: Path, ports: Mapping[str, int]) -> dict[str, Any]:
    """The settings of Prefect in a stack that has these ports. Paths are absolute, for any working directory."""
    return {
        **base.model_dump(),
        "api_url": f"http://{LOOPBACK}:{ports[PREFECT]}/api",
        "server_port": ports[PREFECT],
        "status_port": ports[CONDUCTOR],
        "auth_file": base.auth_file or homes.prefect_login(home),
        "python": base.python.expanduser().absolute(),
        "job_python": Path(sys.executable).absolute(),
        "jobs_folder": base.jobs_folder.expanduser().resolve(),
    }


def addresses(prefect: PrefectSettings) -> dict[str, str]:
    """Environment variables from which another process finds Prefect."""
    return {
        "STREAMFLOW_PREFECT__API_URL": prefect.api_url,
        "STREAMFLOW_PREFECT__SERVER_PORT": str(prefect.server_port),
        "STREAMFLOW_PREFECT__STATUS_PORT": str(prefect.status_port),
        "STREAMFLOW_PREFECT__AUTH_FILE": str(prefect.auth_file),
        "STREAMFLOW_PREFECT__PYTHON": str(prefect.python),
        "STREAMFLOW_PREFECT__JOB_PYTHON": str(prefect.job_python),
        "STREAMFLOW_PREFECT__JOBS_FOLDER": str(prefect.jobs_folder),
    }


def prefect_services(settings: Settings) -> dict[str, Service]:
    """Prefect's server and the conductor, by name.

    Raises:
        UsageError: Prefect is not installed.
    """
    python, port = str(interpreter(settings.prefect)), str(settings.prefect.server_port)
    names = tuple(f"STREAMFLOW_{section}__" for section in _OF_JOBS)
    given = {name: value for name, value in os.environ.items() if name.startswith(names)}
    common = {**services.addresses(settings), **addresses(settings.prefect)}
    return {
        PREFECT: Service(
            PREFECT,
            (python, "-m", "streamflow.flows.server", "sqlite", "--host", LOOPBACK, "--port", port),
            common,
            f"http://{LOOPBACK}:{port}",
            "/api/health",
        ),
        CONDUCTOR: Service(
            CONDUCTOR,
            (python, "-m", "streamflow.flows", "serve"),
            {**given, **common},
            f"http://{LOOPBACK}:{settings.prefect.status_port}",
            "/metrics",
        ),
    }

"""The services of a local stack: command, environment and readiness check of each."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from streamflow import servers
from streamflow import settings as settings_module
from streamflow.client import PredictClient
from streamflow.local import home as homes
from streamflow.local.home import LOOPBACK
from streamflow.settings import Settings

POSTGRES, MLFLOW, FEAST, PREDICT, REGISTRAR = "postgres", "mlflow", "feast", "predict", "registrar"
NAMES = (POSTGRES, MLFLOW, REGISTRAR, FEAST, PREDICT)
"""All services, in the order in which they are listed."""

PREFECT, CONDUCTOR = "prefect", "conductor"
OPTIONAL = (PREFECT, CONDUCTOR)
"""Services that a stack has if it was asked for them."""

PROMOTIONS = "promotions"
"""Name of the registrar's second port, that of its API."""

_DATABASE = "STREAMFLOW_DATABASE__"
# Bypass a proxy that the environment names: it could not reach this machine's loopback address.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Service:
    """One HTTP service of the stack.

    Attributes:
        name: Name of the service.
        command: Program and arguments that start it.
        variables: Environment variables in addition to those of `environment`.
        url: Base URL.
        ready_path: Path that responds with 200 once the service is ready.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    url: str
    ready_path: str

    @property
    def configuration(self) -> str:
        """Digest of command and variables; a process started with a different one must be restarted."""
        started_with = json.dumps([self.command, sorted(self.variables.items())])
        return hashlib.sha256(started_with.encode()).hexdigest()


def preferred_ports(settings: Settings) -> dict[str, int]:
    """The ports to try first: those in the settings, which `stack.env` carries over from the last start."""
    return {
        POSTGRES: settings.database.port,
        MLFLOW: urlsplit(settings.mlflow.tracking_uri).port or 5000,
        FEAST: urlsplit(settings.feast.server_url).port or 6566,
        PREDICT: settings.predict.port,
        REGISTRAR: settings.promotion.registrar_port,
        PROMOTIONS: settings.promotion.api_port,
        PREFECT: settings.prefect.server_port,
        CONDUCTOR: settings.prefect.status_port,
    }


def stack_settings(
    base: Settings, home: Path, ports: Mapping[str, int], password: str, prefect: Mapping[str, object]
) -> Settings:
    """The settings of every process in this stack; they take precedence over the environment."""
    return settings_module.load(
        home=home,
        database={
            "host": LOOPBACK,
            "port": ports[POSTGRES],
            "name": "streamflow",
            "user": "streamflow",
            "password": password,
            "password_file": None,
            "sslmode": "disable",
        },
        mlflow={"tracking_uri": f"http://{LOOPBACK}:{ports[MLFLOW]}"},
        feast={
            "repo": base.feast.repo.expanduser().resolve(),
            "server_url": f"http://{LOOPBACK}:{ports[FEAST]}",
        },
        predict={"host": LOOPBACK, "port": ports[PREDICT]},
        promotion={
            "registrar_port": ports[REGISTRAR],
            "api_port": ports[PROMOTIONS],
            "signing_key_file": homes.signing_key(home),
            "head_file": home / "audit-trail" / "head.json",
        },
        prefect=prefect,
        erasure={"key_file": base.erasure.key_file or homes.erasure_key(home)},
    )


def addresses(settings: Settings) -> dict[str, str]:
    """Environment variables from which another process loads the same settings."""
    return {
        "STREAMFLOW_HOME": str(settings.home),
        **settings.database.variables,
        "STREAMFLOW_MLFLOW__TRACKING_URI": settings.mlflow.tracking_uri,
        "STREAMFLOW_FEAST__REPO": str(settings.feast.repo),
        "STREAMFLOW_FEAST__SERVER_URL": settings.feast.server_url,
        "STREAMFLOW_PREDICT__HOST": settings.predict.host,
        "STREAMFLOW_PREDICT__PORT": str(settings.predict.port),
        "STREAMFLOW_ERASURE__KEY_FILE": str(settings.erasure.key_file),
        "STREAMFLOW_PROMOTION__REGISTRAR_PORT": str(settings.promotion.registrar_port),
        "STREAMFLOW_PROMOTION__API_PORT": str(settings.promotion.api_port),
        # For notebooks and MLflow's own commands.
        "MLFLOW_TRACKING_URI": settings.mlflow.tracking_uri,
    }


def environment(settings: Settings) -> dict[str, str]:
    """The caller's environment plus `addresses`, without variables that point at other servers."""
    foreign = (_DATABASE, "MLFLOW_", "_MLFLOW_", "FEAST_", "PG", "PROMETHEUS_MULTIPROC")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    programs = str(Path(sys.executable).parent)
    direct = [item for name in ("NO_PROXY", "no_proxy") if (item := inherited.get(name))]
    no_proxy = ",".join([*direct, LOOPBACK, "localhost"])
    return {
        **inherited,
        **addresses(settings),
        "PATH": os.pathsep.join([programs, inherited.get("PATH", os.defpath)]),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PYTHONUNBUFFERED": "1",
    }


def http_services(settings: Settings) -> dict[str, Service]:
    """The services other than PostgreSQL, by name."""
    mlflow, feast = settings.mlflow.tracking_uri, settings.feast.server_url
    backend = settings.database.model_copy(update={"name": settings.database.mlflow_name})
    own = {name: value for name, value in os.environ.items() if name.startswith("STREAMFLOW_PREDICT__")}
    return {
        MLFLOW: Service(
            MLFLOW,
            tuple(
                servers.mlflow_command(
                    LOOPBACK, _port(mlflow), 1, str(settings.home / "mlflow" / "artifacts"), metrics=False
                )
            ),
            {
                **servers.mlflow_environment(settings.model_copy(update={"database": backend})),
                "MLFLOW_SERVER_ALLOWED_HOSTS": f"{LOOPBACK}:*,localhost:*,{LOOPBACK},localhost",
            },
            mlflow,
            "/health",
        ),
        FEAST: Service(
            FEAST,
            tuple(servers.feast_command(settings.feast.repo, LOOPBACK, _port(feast), 1, metrics=False)),
            servers.feast_environment(settings),
            feast,
            "/health",
        ),
        REGISTRAR: Service(
            REGISTRAR,
            (sys.executable, "-m", "streamflow", "serve", "registrar"),
            {name: value for name, value in os.environ.items() if name.startswith("STREAMFLOW_PROMOTION__")}
            | {
                "STREAMFLOW_PROMOTION__SIGNING_KEY_FILE": str(settings.promotion.signing_key_file),
                "STREAMFLOW_PROMOTION__HEAD_FILE": str(settings.promotion.head_file),
            }
            | addresses(settings),
            f"http://{LOOPBACK}:{settings.promotion.registrar_port}",
            "/healthz",
        ),
        PREDICT: Service(
            PREDICT,
            (sys.executable, "-m", "streamflow", "serve", "predict"),
            # No load balancer sends requests here, so predict need not drain before it stops.
            {
                "STREAMFLOW_PREDICT__DRAIN_SECONDS": "0",
                **own,
                **addresses(settings),
            },
            f"http://{LOOPBACK}:{settings.predict.port}",
            "/livez",
        ),
    }


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def answers(url: str, timeout_seconds: float = 2.0) -> bool:
    """Whether a GET request to this URL succeeds."""
    try:
        with _direct.open(url, timeout=timeout_seconds):
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def predict_client(url: str, join_key: str, timeout_seconds: float = 30.0) -> PredictClient:
    """A client of the stack's predict service. It never retries, because its callers poll."""
    return PredictClient(url, join_key=join_key, timeout_seconds=timeout_seconds, retries=0)

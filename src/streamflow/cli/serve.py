"""`streamflow serve`: the platform's servers as processes that a container or a supervisor runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from streamflow import log
from streamflow import settings as settings_module

app = typer.Typer(no_args_is_help=True, help="Run one of the platform's servers in the foreground.")

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Workers = Annotated[int, typer.Option(help="Worker processes.", min=1)]
Metrics = Annotated[bool, typer.Option("--metrics", help="Serve Prometheus metrics too.")]


def _schedules(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise typer.BadParameter('write it like \'{"backup": "0 0 * * *"}\'.')
    return found


@app.command()
def predict() -> None:
    """Serve predictions; STREAMFLOW_PREDICT__HOST and __PORT say where.

    Example: streamflow serve predict
    """
    from streamflow.predict import starting

    raise typer.Exit(starting.main())


@app.command()
def mlflow(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port to listen on.")] = 5000,
    workers: Workers = 1,
    artifacts: Annotated[
        str, typer.Option(help="Folder or object-store URL of the artifacts.")
    ] = "mlartifacts",
    metrics: Metrics = False,
    accounts: Annotated[
        Path | None,
        typer.Option(help="Ask for logins; folder with the files admin-password and ROLE-password."),
    ] = None,
) -> None:
    """Replace this process with MLflow's server, whose database password is in the environment, not on the command line.

    Example: streamflow serve mlflow --host 0.0.0.0 --artifacts s3://bucket/mlflow
    """
    from streamflow import servers

    settings = settings_module.load()
    logins = accounts is not None
    if metrics:
        servers.make_metrics_folder()
    command = servers.mlflow_command(host, port, workers, artifacts, metrics=metrics, logins=logins)
    servers.become(command, servers.mlflow_environment(settings, accounts))


@app.command()
def feast(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port to listen on.")] = 6566,
    workers: Workers = 1,
    metrics: Metrics = False,
) -> None:
    """Replace this process with Feast's feature server.

    Example: streamflow serve feast --host 0.0.0.0 --metrics
    """
    from streamflow import servers

    settings = settings_module.load()
    command = servers.feast_command(settings.feast.repo, host, port, workers, metrics=metrics)
    servers.become(command, servers.feast_environment(settings))


@app.command()
def registrar(
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="TCP port of metrics and health; STREAMFLOW_PROMOTION__REGISTRAR_PORT by default."),
    ] = None,
) -> None:
    """Answer what is moved in MLflow or asked for over HTTP through the gate; keep MLflow in line with the ledger.

    STREAMFLOW_PROMOTION__API_PORT and __API_KEYS_FILE say where and of whom requests are taken.

    Example: streamflow serve registrar --host 0.0.0.0
    """
    from streamflow.registrar import serve

    settings = settings_module.load()
    log.configure(settings.log)
    serve.serve(settings.backends, settings.promotion, host, port or settings.promotion.registrar_port)


@app.command()
def exporter(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port to listen on.")] = 9100,
    schedules: Annotated[
        dict[str, str] | None,
        typer.Option(
            metavar="JSON", parser=_schedules, help="Cron schedules of the scheduled jobs, by name."
        ),
    ] = None,
) -> None:
    """Serve metrics of job runs, freshness and the production model, read from PostgreSQL at each scrape.

    Example: streamflow serve exporter --schedules '{"backup": "0 0 * * *"}'
    """
    from streamflow.monitoring import exporter as server

    settings = settings_module.load()
    log.configure(settings.log)
    server.serve(
        settings.database,
        settings.mlflow.registered_model,
        host,
        port,
        schedules or {},
    )

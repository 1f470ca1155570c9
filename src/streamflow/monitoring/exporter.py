"""Job outcomes, freshness and the production model, out of PostgreSQL, for Prometheus.

Jobs end before Prometheus could scrape them, so they leave rows, and this server reads those at each scrape and
keeps nothing. It is given the jobs that run by schedule, to distinguish one that never succeeded from one that is
not meant to run. The label is `job_name`, because `job` is Prometheus' own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamflow import log
from streamflow.errors import StreamFlowError
from streamflow.model_version.aliases import PRODUCTION
from streamflow.monitoring import freshness
from streamflow.postgres import job_results
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import AuditResult, ParityResult
from streamflow.settings import Settings


class PlatformCollector(Collector):
    """Reads everything in one transaction per scrape; a database that is down is a metric, not an error."""

    def __init__(self, settings: Settings, scheduled: Sequence[str] = ()) -> None:
        self._settings = settings
        self._scheduled = tuple(scheduled)
        self._lock = threading.Lock()

    def describe(self) -> list[Metric]:
        """Nothing: what there is follows from the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of one scrape."""
        up = GaugeMetricFamily("streamflow_database_up", "Whether the exporter could read PostgreSQL.")
        try:
            with self._lock, transaction(self._settings) as connection:
                metrics = [
                    *_jobs(connection),
                    *_freshness(freshness.read(connection)),
                    *_drops(connection),
                    *_parity(connection),
                    *_audit(connection, self._settings.mlflow.registered_model),
                    *_model(connection, self._settings.mlflow.registered_model, PRODUCTION),
                ]
        except (StreamFlowError, sa.exc.SQLAlchemyError) as error:
            log.get("streamflow.exporter").warning("scrape failed", error=str(error).splitlines()[0])
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield _scheduled(self._scheduled)
        yield from metrics


def _scheduled(jobs: Sequence[str]) -> Metric:
    """Only beside what the database says: without it nobody knows whether a job has ended well."""
    scheduled = GaugeMetricFamily(
        "streamflow_job_scheduled", "Jobs that run by schedule, each 1.", labels=["job_name"]
    )
    for job in jobs:
        scheduled.add_metric([job], 1)
    return scheduled


def _jobs(connection: sa.Connection) -> list[Metric]:
    success = GaugeMetricFamily(
        "streamflow_job_last_success_timestamp_seconds", "When the job last ended well.", labels=["job_name"]
    )
    duration = GaugeMetricFamily(
        "streamflow_job_last_duration_seconds", "How long its last run took.", labels=["job_name"]
    )
    ended = GaugeMetricFamily(
        "streamflow_job_last_run_timestamp_seconds", "When its last run ended.", labels=["job_name"]
    )
    good = GaugeMetricFamily(
        "streamflow_job_last_run_ok", "Whether its last run ended well.", labels=["job_name"]
    )
    runs = CounterMetricFamily(
        "streamflow_job_runs", "Runs of the job, by outcome.", labels=["job_name", "outcome"]
    )
    for row in connection.execute(
        sa.text(
            "SELECT DISTINCT ON (job) job, ended_at, outcome = 'done' AS ok,"
            " extract(epoch FROM ended_at - started_at) AS seconds,"
            " (SELECT max(ended_at) FROM streamflow.job_runs s"
            " WHERE s.job = r.job AND s.outcome = 'done') AS success"
            " FROM streamflow.job_runs r ORDER BY job, run_id DESC"
        )
    ):
        ended.add_metric([row.job], row.ended_at.timestamp())
        duration.add_metric([row.job], float(row.seconds))
        good.add_metric([row.job], float(row.ok))
        if row.success is not None:
            success.add_metric([row.job], row.success.timestamp())
    for row in connection.execute(
        sa.text(
            "SELECT job, outcome, sum(n) AS n FROM ("
            "SELECT job, outcome, count(*) AS n FROM streamflow.job_runs GROUP BY job, outcome"
            " UNION ALL SELECT job, outcome, runs FROM streamflow.job_runs_forgotten) AS all_runs"
            " GROUP BY job, outcome"
        )
    ):
        runs.add_metric([row.job, row.outcome], float(row.n))
    return [success, duration, ended, good, runs]


def _freshness(found: freshness.Freshness) -> list[Metric]:
    drop = GaugeMetricFamily(
        "streamflow_newest_drop_as_of_timestamp_seconds", "As-of of the newest drop that was ingested."
    )
    _add_time(drop, [], found.newest_drop)
    metrics: list[Metric] = [drop]
    for kind, label, items in (
        ("source", "table", found.tables),
        ("features", "feature_view", found.views),
    ):
        newest = GaugeMetricFamily(
            f"streamflow_{kind}_newest_as_of_timestamp_seconds", f"Newest as-of per {label}.", labels=[label]
        )
        rows = GaugeMetricFamily(f"streamflow_{kind}_rows", f"Rows per {label}.", labels=[label])
        for name, reach in items.items():
            _add_time(newest, [name], reach.newest_as_of)
            rows.add_metric([name], reach.rows)
        metrics += [newest, rows]
    return metrics


def _drops(connection: sa.Connection) -> list[Metric]:
    rows = CounterMetricFamily(
        "streamflow_ingest_rows", "Rows of all drops, by table and result.", labels=["table", "result"]
    )
    for row in connection.execute(
        sa.text(
            "SELECT table_name, sum(accepted) AS accepted, sum(quarantined) AS quarantined"
            " FROM streamflow.drop_files GROUP BY table_name"
        )
    ):
        rows.add_metric([row.table_name, "accepted"], float(row.accepted))
        rows.add_metric([row.table_name, "quarantined"], float(row.quarantined))
    return [rows]


def _parity(connection: sa.Connection) -> list[Metric]:
    compared = GaugeMetricFamily(
        "streamflow_parity_compared", "Entities of the last comparison of the batch path with predict."
    )
    differences = GaugeMetricFamily(
        "streamflow_parity_differences", "Entities among them for which the two paths disagree."
    )
    last = job_results.newest(connection, ParityResult)
    if last is not None:
        compared.add_metric([], last.compared)
        differences.add_metric([], last.differences)
    return [compared, differences]


def _audit(connection: sa.Connection, model: str) -> list[Metric]:
    chain = GaugeMetricFamily(
        "streamflow_audit_chain_ok", "Whether the audit trail held when the job `audit` last verified it."
    )
    outside = CounterMetricFamily(
        "streamflow_outside_moves", "Moves made in MLflow past StreamFlow, by alias.", labels=["alias"]
    )
    last = job_results.newest(connection, AuditResult)
    if last is not None:
        chain.add_metric([], float(last.chain_ok))
    for row in connection.execute(
        sa.text(
            "SELECT alias, count(*) FILTER (WHERE action = 'outside') AS n FROM streamflow.promotions"
            " WHERE model = :model GROUP BY alias"
        ),
        {"model": model},
    ):
        outside.add_metric([row.alias], row.n)
    return [chain, outside]


def _model(connection: sa.Connection, model: str, alias: str) -> list[Metric]:
    promoted = GaugeMetricFamily(
        "streamflow_model_promoted_timestamp_seconds",
        "When the version behind the alias was put there.",
        labels=["name", "version", "alias"],
    )
    age = GaugeMetricFamily(
        "streamflow_model_age_seconds",
        "Time since the version behind the alias was put there.",
        labels=["name", "version", "alias"],
    )
    row = connection.execute(
        sa.text(
            "SELECT to_version, moved_at, extract(epoch FROM clock_timestamp() - moved_at) AS age"
            " FROM streamflow.promotions WHERE model = :model AND alias = :alias"
            " AND to_version IS DISTINCT FROM from_version ORDER BY promotion_id DESC LIMIT 1"
        ),
        {"model": model, "alias": alias},
    ).first()
    if row is not None and row.to_version is not None:
        labels = [model, str(row.to_version), alias]
        promoted.add_metric(labels, row.moved_at.timestamp())
        age.add_metric(labels, float(row.age))
    return [promoted, age]


def _add_time(metric: GaugeMetricFamily, labels: list[str], moment: datetime | None) -> None:
    if moment is not None:
        metric.add_metric(labels, moment.timestamp())


def application(settings: Settings, scheduled: Sequence[str] = ()) -> Any:
    """WSGI application: `/metrics`, and `/healthz` which asks nobody."""
    registry = CollectorRegistry()
    registry.register(PlatformCollector(settings, scheduled))
    metrics = make_wsgi_app(registry)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("PATH_INFO") == "/healthz":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        return metrics(environ, start_response)

    return serve


class _Server(ThreadingMixIn, WSGIServer):
    """A probe is answered while a scrape waits for the database."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """A line per scrape says nothing."""


def serve(settings: Settings, host: str, port: int, scheduled: Sequence[str]) -> None:
    """Serve the metrics until a signal ends the process.

    Args:
        settings: Where PostgreSQL is, and which model is in production.
        host: Address to listen on.
        port: TCP port to listen on.
        scheduled: Jobs that run by schedule.
    """
    with make_server(host, port, application(settings, scheduled), _Server, _QuietHandler) as server:
        log.get("streamflow.exporter").info("serving", host=host, port=port)
        server.serve_forever()

"""Prometheus metrics of job outcomes, freshness and the production model, read from PostgreSQL.

A job ends before Prometheus could scrape it, so it writes its outcome to a table, which this stateless server
reads at each scrape. The server is started with the schedules of the jobs, so that an alert can tell when a job is
late, and distinguish one that never succeeded from one that is not scheduled. The label is `job_name`, because
Prometheus sets `job` itself.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamflow import log
from streamflow.errors import StreamFlowError
from streamflow.http import metrics_server
from streamflow.model_version.aliases import PRODUCTION
from streamflow.monitoring import foreign_locks, freshness, killed_jobs, schedules, verdict_metrics
from streamflow.postgres import job_results, statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import AuditResult, ParityResult, TrainResult
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_NOT_SCHEDULED = MappingProxyType(dict[str, str]())
_DAY_SECONDS = 86400.0


class PlatformCollector(Collector):
    """Reads all metrics in one transaction per scrape; `streamflow_database_up` is 0 if that fails."""

    def __init__(
        self, database: DatabaseSettings, model: str, scheduled: Mapping[str, str] = _NOT_SCHEDULED
    ) -> None:
        self._database = database
        self._model = model
        self._intervals = {job: _interval(job, schedule) for job, schedule in scheduled.items()}
        self._lock = threading.Lock()

    def describe(self) -> list[Metric]:
        """Return nothing, because which metrics exist depends on the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the metrics for one scrape."""
        up = GaugeMetricFamily("streamflow_database_up", "Whether the exporter could read PostgreSQL.")
        try:
            with self._lock, transaction(self._database) as connection:
                promoted = _promoted(connection, self._model, PRODUCTION)
                production = promoted.to_version if promoted is not None else None
                metrics = [
                    *_jobs(connection),
                    _killed(connection),
                    *_freshness(freshness.read(connection)),
                    *_drops(connection),
                    *_parity(connection),
                    *_audit(connection, self._model),
                    *_production(promoted, self._model, PRODUCTION),
                    *_gate(connection, self._model),
                    *verdict_metrics.read(connection, self._model, production),
                    *_locks(connection, self._database.role_prefix, self._model),
                ]
        except (StreamFlowError, sa.exc.SQLAlchemyError) as error:
            why = {"why": error.what} if isinstance(error, StreamFlowError) else log.describe(error)
            log.get("streamflow.exporter").warning("scrape failed", **why)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _scheduled(self._intervals)
        yield from metrics


def _interval(job: str, schedule: str) -> float:
    try:
        return schedules.longest_pause(schedule)
    except ValueError as error:
        log.get("streamflow.exporter").warning("taken for a daily job", job=job, why=str(error))
        return _DAY_SECONDS


def _scheduled(intervals: Mapping[str, float]) -> list[Metric]:
    """Export the scheduled jobs.

    Only while the database answers: without the jobs' outcomes, all would seem never to have succeeded.
    """
    scheduled = GaugeMetricFamily(
        "streamflow_job_scheduled", "Jobs that run by schedule, each 1.", labels=["job_name"]
    )
    interval = GaugeMetricFamily(
        "streamflow_job_interval_seconds",
        "Longest time between two runs of the job by its schedule.",
        labels=["job_name"],
    )
    for job, seconds in intervals.items():
        scheduled.add_metric([job], 1)
        interval.add_metric([job], seconds)
    return [scheduled, interval]


def _jobs(connection: sa.Connection) -> list[Metric]:
    success = GaugeMetricFamily(
        "streamflow_job_last_success_timestamp_seconds", "When the job last succeeded.", labels=["job_name"]
    )
    duration = GaugeMetricFamily(
        "streamflow_job_last_duration_seconds", "How long its last run took.", labels=["job_name"]
    )
    ended = GaugeMetricFamily(
        "streamflow_job_last_run_timestamp_seconds", "When its last run ended.", labels=["job_name"]
    )
    good = GaugeMetricFamily(
        "streamflow_job_last_run_ok", "Whether its last run succeeded.", labels=["job_name"]
    )
    runs = CounterMetricFamily(
        "streamflow_job_runs", "Runs of the job, by outcome.", labels=["job_name", "outcome"]
    )
    for row in connection.execute(sa.text(_SQL["last_runs"])):
        ended.add_metric([row.job], row.ended_at.timestamp())
        duration.add_metric([row.job], float(row.seconds))
        good.add_metric([row.job], float(row.ok))
        if row.success is not None:
            success.add_metric([row.job], row.success.timestamp())
    for row in connection.execute(sa.text(_SQL["count_runs"])):
        runs.add_metric([row.job, row.outcome], float(row.runs))
    return [success, duration, ended, good, runs]


def _killed(connection: sa.Connection) -> Metric:
    found = GaugeMetricFamily(
        "streamflow_job_killed",
        "Whether its last run began and ended without an outcome: it was killed.",
        labels=["job_name"],
    )
    for job, was_killed in killed_jobs.read(connection).items():
        found.add_metric([job], float(was_killed))
    return found


def _freshness(state: freshness.Freshness) -> list[Metric]:
    drop = GaugeMetricFamily(
        "streamflow_newest_drop_as_of_timestamp_seconds", "As-of of the newest drop that was ingested."
    )
    _add_time(drop, [], state.newest_drop)
    metrics: list[Metric] = [drop]
    for newest, rows, items in (
        (
            GaugeMetricFamily(
                "streamflow_source_newest_as_of_timestamp_seconds",
                "Newest as-of per table.",
                labels=["table"],
            ),
            GaugeMetricFamily("streamflow_source_rows", "Rows per table.", labels=["table"]),
            state.tables,
        ),
        (
            GaugeMetricFamily(
                "streamflow_features_newest_as_of_timestamp_seconds",
                "Newest as-of per feature view.",
                labels=["feature_view"],
            ),
            GaugeMetricFamily("streamflow_features_rows", "Rows per feature view.", labels=["feature_view"]),
            state.views,
        ),
    ):
        for name, reach in items.items():
            _add_time(newest, [name], reach.newest_as_of)
            rows.add_metric([name], reach.rows)
        metrics += [newest, rows]
    return metrics


def _drops(connection: sa.Connection) -> list[Metric]:
    rows = CounterMetricFamily(
        "streamflow_ingest_rows", "Rows of all drops, by table and result.", labels=["table", "result"]
    )
    for row in connection.execute(sa.text(_SQL["ingested_rows"])):
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
        "streamflow_audit_chain_ok",
        "Whether the audit trail was intact when the job `audit` last verified it.",
    )
    outside = CounterMetricFamily(
        "streamflow_outside_moves",
        "External changes of an alias, made in MLflow and not by StreamFlow.",
        labels=["alias"],
    )
    last = job_results.newest(connection, AuditResult)
    if last is not None:
        chain.add_metric([], float(last.chain_ok))
    for row in connection.execute(
        sa.text(_SQL["external_changes"]),
        {"model": model},
    ):
        outside.add_metric([row.alias], row.changes)
    return [chain, outside]


def _locks(connection: sa.Connection, prefix: str, model: str) -> list[Metric]:
    found = GaugeMetricFamily(
        "streamflow_foreign_lock",
        "Advisory locks held by a login whose component has no use for them, each 1.",
        labels=["lock", "login"],
    )
    for lock in foreign_locks.read(connection, prefix, model):
        found.add_metric([lock.name, lock.login], 1)
    return [found]


def _promoted(connection: sa.Connection, model: str, alias: str) -> sa.Row[Any] | None:
    return connection.execute(sa.text(_SQL["promoted_version"]), {"model": model, "alias": alias}).first()


def _production(row: sa.Row[Any] | None, model: str, alias: str) -> list[Metric]:
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
    if row is not None and row.to_version is not None:
        labels = [model, str(row.to_version), alias]
        promoted.add_metric(labels, row.moved_at.timestamp())
        age.add_metric(labels, float(row.age))
    return [promoted, age]


def _gate(connection: sa.Connection, model: str) -> list[Metric]:
    passed = GaugeMetricFamily(
        "streamflow_gate_passed",
        "Whether the gate passed the version that the job `train` trained last.",
        labels=["name", "version"],
    )
    judged_at = GaugeMetricFamily(
        "streamflow_gate_judged_timestamp_seconds",
        "When the gate judged the version that the job `train` trained last.",
        labels=["name", "version"],
    )
    auc = GaugeMetricFamily(
        "streamflow_model_auc",
        "AUC on the newest labels, when the gate judged: of the challenger, and of the champion on the same rows.",
        labels=["name", "version", "role"],
    )
    low = GaugeMetricFamily(
        "streamflow_model_auc_low",
        "Lower end of the 95 % interval of `streamflow_model_auc`.",
        labels=["name", "version", "role"],
    )
    last = job_results.newest(connection, TrainResult)
    found = last.judged if last is not None else None
    if found is not None:
        passed.add_metric([model, str(found.version)], float(found.passed))
        judged_at.add_metric([model, str(found.version)], found.judged_at.timestamp())
        for role, version, estimate, least in (
            ("challenger", found.version, found.auc, found.auc_low),
            ("champion", found.champion, found.champion_auc, found.champion_auc_low),
        ):
            if estimate is not None and least is not None:
                auc.add_metric([model, str(version), role], estimate)
                low.add_metric([model, str(version), role], least)
    return [passed, judged_at, auc, low]


def _add_time(metric: GaugeMetricFamily, labels: list[str], moment: datetime | None) -> None:
    if moment is not None:
        metric.add_metric(labels, moment.timestamp())


def metrics(
    database: DatabaseSettings, model: str, scheduled: Mapping[str, str] = _NOT_SCHEDULED
) -> CollectorRegistry:
    """The registry of the exporter's metrics, which are read from the database at each scrape."""
    registry = CollectorRegistry()
    registry.register(PlatformCollector(database, model, scheduled))
    return registry


def serve(database: DatabaseSettings, model: str, host: str, port: int, scheduled: Mapping[str, str]) -> None:
    """Serve the metrics until a signal ends the process.

    Args:
        database: Database to read.
        model: Name of the registered model.
        host: Address to listen on.
        port: TCP port to listen on.
        scheduled: Schedules of the scheduled jobs, by name.
    """
    # As the first process of a container, Python would ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with metrics_server.serving(metrics(database, model, scheduled), host, port):
        threading.Event().wait()

"""The exporter's metrics, read from a real PostgreSQL."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from exported import NOTHING, samples
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from streamflow import settings as settings_module
from streamflow.errors import NotYet
from streamflow.http.metrics_server import application
from streamflow.jobs import run
from streamflow.monitoring.exporter import PlatformCollector, metrics
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import Idle, Judged, TrainResult
from streamflow.postgres.names import INCOMING

pytestmark = pytest.mark.postgres


def values(settings, scheduled=NOTHING):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for sample in samples(settings, scheduled)
    }


def fill(settings):
    with transaction(settings.database) as connection:
        for statement in (
            "INSERT INTO streamflow.drops VALUES"
            " ('d1', '2024-01-31+00', 1, 'x', now(), 'me', '/drops', 10, 2),"
            " ('d2', '2024-02-29+00', 1, 'y', now(), 'me', '/drops', 5, 0)",
            "INSERT INTO streamflow.drop_files VALUES ('d1', 'users', 'users.csv', 's', 1, 12, 10, 2),"
            " ('d2', 'users', 'users.csv', 's', 1, 5, 5, 0)",
            "CREATE TABLE online.usage_fv (user_id text PRIMARY KEY)",
            "INSERT INTO online.usage_fv VALUES ('a'), ('b')",
            "INSERT INTO online.materializations (feature_view, window_start, window_end, newest_as_of, rows)"
            " VALUES ('usage_fv', '2024-01-01', '2024-01-31', '2024-01-31+00', 2)",
            "INSERT INTO streamflow.promotions (moved_at, moved_by, model, alias, to_version, action, why)"
            " VALUES (now() - interval '1 hour', 'me', :model, 'production', 3, 'promote', 'first')",
        ):
            arguments = {"model": settings.mlflow.registered_model} if ":model" in statement else {}
            connection.execute(sa.text(statement), arguments)


def test_an_empty_database_is_up_and_has_no_other_metric(settings):
    assert values(settings) == {("streamflow_database_up",): 1.0}


def test_freshness_rows_and_the_model_are_exported(settings):
    fill(settings)
    found = values(settings)
    january, february = 1706659200.0, 1709164800.0
    assert found[("streamflow_newest_drop_as_of_timestamp_seconds",)] == february
    assert found[("streamflow_source_newest_as_of_timestamp_seconds", "users")] == february
    assert found[("streamflow_source_rows", "users")] == 15
    assert found[("streamflow_features_newest_as_of_timestamp_seconds", "usage_fv")] == january
    assert found[("streamflow_features_rows", "usage_fv")] == 2
    assert found[("streamflow_ingest_rows_total", "quarantined", "users")] == 2
    model = sorted([settings.mlflow.registered_model, "3", "production"])
    assert 3600 <= found[("streamflow_model_age_seconds", *model)] < 3700


def test_rows_that_a_materialization_has_not_taken_yet_are_no_feature_view(settings):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(f"CREATE TABLE online.usage_fv{INCOMING} (user_id text)")
    assert values(settings) == {("streamflow_database_up",): 1.0}


def test_the_last_run_of_each_job_is_exported_beside_its_last_success(settings):
    assert run.run(settings, "ingest", lambda s: Idle("nothing to do")) == 0
    good = values(settings)
    assert good[("streamflow_job_last_run_ok", "ingest")] == 1
    assert run.run(settings, "ingest", lambda s: 1 / 0) == 1
    bad = values(settings)
    success = ("streamflow_job_last_success_timestamp_seconds", "ingest")
    assert bad[("streamflow_job_last_run_ok", "ingest")] == 0
    assert bad[success] == good[success]
    assert bad[("streamflow_job_last_run_timestamp_seconds", "ingest")] > good[success]
    assert bad[("streamflow_job_runs_total", "failed", "ingest")] == 1


def trained(settings, judged):
    result = TrainResult(judged.version, False, "refused", ("d1",), judged.auc, "failed", judged)
    assert run.run(settings, "train", lambda s: result) == 0


def test_the_gates_verdict_and_both_models_on_the_newest_labels_are_exported(settings):
    at = datetime(2024, 3, 1, 12, tzinfo=UTC)
    trained(settings, Judged(4, 3, False, at, 0.61, 0.57, 0.5065, 0.48))
    found, model = values(settings), settings.mlflow.registered_model

    def of(name, *labels):
        return found[(name, *sorted([model, *labels]))]

    assert of("streamflow_gate_passed", "4") == 0
    assert of("streamflow_gate_judged_timestamp_seconds", "4") == at.timestamp()
    assert of("streamflow_model_auc", "4", "challenger") == 0.61
    assert of("streamflow_model_auc_low", "4", "challenger") == 0.57
    assert of("streamflow_model_auc", "3", "champion") == 0.5065
    assert of("streamflow_model_auc_low", "3", "champion") == 0.48


def test_models_without_figures_have_a_verdict_alone(settings):
    trained(settings, Judged(4, 3, False, datetime(2024, 3, 1, tzinfo=UTC)))
    found = {name for name, *_ in values(settings)}
    assert "streamflow_gate_passed" in found
    assert not {"streamflow_model_auc", "streamflow_model_auc_low"} & found


def test_a_scheduled_job_that_has_not_run_is_exported_only_when_the_database_answers(settings):
    schedules = {"backup": "0 0 * * *", "parity": "45 * * * *", "odd": "@every 5m"}
    found = values(settings, schedules)
    assert found[("streamflow_job_scheduled", "backup")] == 1
    assert found[("streamflow_job_interval_seconds", "backup")] == 86400
    assert found[("streamflow_job_interval_seconds", "parity")] == 3600
    # What cannot be read is taken for a daily job; the log says so.
    assert found[("streamflow_job_interval_seconds", "odd")] == 86400
    assert ("streamflow_job_last_success_timestamp_seconds", "backup") not in found
    away = settings_module.load(database={"port": 1, "connect_timeout_seconds": 1})
    assert values(away, schedules) == {("streamflow_database_up",): 0.0}


def test_a_job_with_nothing_to_do_yet_succeeded(settings):
    def idle(_):
        raise NotYet("Nothing is promoted.")

    assert run.run(settings, "parity", idle) == 0
    found = values(settings)
    assert found[("streamflow_job_last_run_ok", "parity")] == 1
    assert ("streamflow_parity_compared",) not in found


def test_a_database_that_is_away_is_a_metric():
    away = settings_module.load(database={"port": 1, "connect_timeout_seconds": 1})
    assert values(away) == {("streamflow_database_up",): 0.0}


def test_the_page_is_in_prometheus_format_and_health_needs_no_database(settings):
    registry = CollectorRegistry()
    registry.register(PlatformCollector(settings.database, settings.mlflow.registered_model))
    assert generate_latest(registry).endswith(b"# EOF\n")
    answers = []
    away = settings_module.load(database={"port": 1})
    body = application(metrics(away.database, away.mlflow.registered_model))(
        {"PATH_INFO": "/healthz"}, lambda status, headers: answers.append(status)
    )
    assert (answers, body) == (["200 OK"], [b"ok\n"])

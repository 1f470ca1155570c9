"""How the servers are started: with nothing secret on their command lines."""

from pathlib import Path

from streamflow import settings as settings_module
from streamflow.servers import feast_command, mlflow_command, mlflow_environment


def test_mlflows_password_is_in_its_environment_alone():
    settings = settings_module.load(database={"password": "p@ss/word", "name": "mlflow"})
    assert "p%40ss%2Fword" in mlflow_environment(settings)["MLFLOW_BACKEND_STORE_URI"]
    command = mlflow_command("0.0.0.0", 5000, 1, "/artifacts")
    assert "word" not in " ".join(command)
    assert "--serve-artifacts" in command


def test_mlflow_runs_no_jobs_loads_no_pickle_and_sends_no_telemetry():
    environment = mlflow_environment(settings_module.load())
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql+psycopg2://")


def test_feast_serves_metrics_when_asked():
    assert feast_command(Path("repo"), "::", 6566, 2, metrics=True)[-1] == "--metrics"
    assert "--metrics" not in feast_command(Path("repo"), "::", 6566, 2, metrics=False)


def test_feasts_worker_never_ends_after_a_number_of_requests():
    command = feast_command(Path("repo"), "::", 6566, 1, metrics=False)
    assert command[command.index("--max-requests") + 1] == "0"

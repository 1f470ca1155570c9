"""How the servers are started: with nothing secret on their command lines."""

from pathlib import Path

import pytest

from streamflow import servers
from streamflow import settings as settings_module
from streamflow.servers import feast_command, mlflow_command, mlflow_environment

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_variable_of_the_container_does_not_override_the_security_switches(monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    started = []
    monkeypatch.setattr(servers.os, "execvpe", lambda *arguments: started.append(arguments))
    servers.become(["mlflow", "server"], mlflow_environment(settings_module.load()))
    [(_, _, environment)] = started
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


@pytest.mark.parametrize("switch", servers.MLFLOW_SWITCHES)
def test_each_security_switch_is_stated_in_one_place(switch):
    """MLflow's SDK, which is a client, opts out of telemetry for itself."""
    allowed = {"src/streamflow/servers.py"}
    if switch == "MLFLOW_DISABLE_TELEMETRY":
        allowed.add("src/streamflow/mlflow_api/sdk.py")
    stating = {
        str(path.relative_to(ROOT))
        for folder in ("src", "charts", "images", "k8s-jobs", "scripts")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and switch in path.read_text(encoding="utf-8", errors="ignore")
    }
    assert stating == allowed


def test_feast_serves_metrics_when_asked():
    assert feast_command(Path("repo"), "::", 6566, 2, metrics=True)[-1] == "--metrics"
    assert "--metrics" not in feast_command(Path("repo"), "::", 6566, 2, metrics=False)


def test_feasts_worker_never_ends_after_a_number_of_requests():
    command = feast_command(Path("repo"), "::", 6566, 1, metrics=False)
    assert command[command.index("--max-requests") + 1] == "0"

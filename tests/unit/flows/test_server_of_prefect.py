"""How Prefect's server gets its database and its login."""

import os
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamflow.flows import server
from streamflow.settings import DatabaseSettings, PrefectSettings

DATABASE = DatabaseSettings(
    host="db", name="prefect", user="sf_prefect", password="it's/50%@", sslmode="require"
)


def test_the_url_of_the_database_keeps_any_password():
    url = sa.make_url(server.on_postgresql(DATABASE)["PREFECT_SERVER_DATABASE_CONNECTION_URL"])
    assert url.drivername == "postgresql+asyncpg"
    assert (url.username, url.password, url.host, url.port) == ("sf_prefect", "it's/50%@", "db", 5432)
    assert (url.database, dict(url.query)) == ("prefect", {"ssl": "require"})


def test_a_login_comes_from_its_file_and_without_one_the_server_asks_for_none(tmp_path):
    assert "PREFECT_SERVER_API_AUTH_STRING" not in server.environment(PrefectSettings())
    file = tmp_path / "auth-string"
    file.write_text("ada:secret\n")
    found = server.environment(PrefectSettings(auth_file=file))
    assert found["PREFECT_SERVER_API_AUTH_STRING"] == "ada:secret"


@pytest.fixture
def became(monkeypatch):
    """Program, command line and variables of what this process would have become."""
    found = []
    monkeypatch.setattr(os, "execve", lambda *given: found.append(given))
    return found


def test_the_process_becomes_the_server_and_its_command_line_has_no_password(monkeypatch, became):
    monkeypatch.setenv("STREAMFLOW_DATABASE__PASSWORD", "of-prefect")
    server.main(["postgresql", "--port", "4200"])
    [(program, command, variables)] = became
    assert program == command[0] == str(Path(sys.executable).with_name("prefect"))
    assert command[1:] == ["server", "start", "--port", "4200"]
    assert "of-prefect" in variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"]


def test_on_sqlite_the_database_is_below_the_home(monkeypatch, became, tmp_path):
    monkeypatch.setenv("STREAMFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("STREAMFLOW_PREFECT__KEEP_DAYS", "7")
    server.main(["sqlite"])
    [(_, _, variables)] = became
    assert variables["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in variables
    assert variables["PREFECT_SERVER_EVENTS_RETENTION_PERIOD"] == "P7D"
    assert variables["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] == "events,flow_runs"
    assert variables["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"] == str(7 * 86400)


@pytest.mark.parametrize("arguments", [[], ["mysql"]])
def test_another_database_is_a_wrong_call(arguments, capsys):
    assert server.main(arguments) == 2
    assert "Use 'sqlite' or 'postgresql'." in capsys.readouterr().err


def test_a_file_that_is_missing_is_said_without_a_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("STREAMFLOW_PREFECT__AUTH_FILE", str(tmp_path / "none"))
    assert server.main(["sqlite"]) == 2
    assert "STREAMFLOW_PREFECT__AUTH_FILE" in capsys.readouterr().err

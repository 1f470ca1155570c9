"""How Prefect's server gets its database and its login."""

import os

import sqlalchemy as sa

from streamflow.flows import server
from streamflow.settings import DatabaseSettings, PrefectSettings

DATABASE = DatabaseSettings(
    host="db", name="prefect", user="sf_prefect", password="it's/50%@", sslmode="require"
)


def test_the_url_of_the_database_keeps_any_password():
    url = sa.make_url(
        server.environment(DATABASE, PrefectSettings())["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    )
    assert url.drivername == "postgresql+asyncpg"
    assert (url.username, url.password, url.host, url.port) == ("sf_prefect", "it's/50%@", "db", 5432)
    assert (url.database, dict(url.query)) == ("prefect", {"ssl": "require"})


def test_a_login_comes_from_its_file_and_without_one_the_server_asks_for_none(tmp_path):
    assert "PREFECT_SERVER_API_AUTH_STRING" not in server.environment(DATABASE, PrefectSettings())
    file = tmp_path / "auth-string"
    file.write_text("ada:secret\n")
    found = server.environment(DATABASE, PrefectSettings(auth_file=file))
    assert found["PREFECT_SERVER_API_AUTH_STRING"] == "ada:secret"


def test_the_process_becomes_the_server_and_its_command_line_has_no_password(monkeypatch):
    became = []
    monkeypatch.setattr(os, "execvpe", lambda *given: became.append(given))
    monkeypatch.setenv("STREAMFLOW_DATABASE__PASSWORD", "of-prefect")
    server.main(["--port", "4200"])
    [(program, command, variables)] = became
    assert (program, command) == ("prefect", ["prefect", "server", "start", "--port", "4200"])
    assert "of-prefect" in variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"]


def test_a_file_that_is_missing_is_said_without_a_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("STREAMFLOW_PREFECT__AUTH_FILE", str(tmp_path / "none"))
    assert server.main([]) == 2
    assert "STREAMFLOW_PREFECT__AUTH_FILE" in capsys.readouterr().err

"""A PostgreSQL server of a test's own with a copy of a database, which may be restarted and filled with sessions."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

import psycopg

from streamflow.local import home, postgres, processes
from streamflow.postgres.names import quote
from streamflow.settings import DatabaseSettings, Settings

ROLE = "ordinary"


class OwnPostgres:
    """The server.

    Attributes:
        server: How it was made.
        process: Its process.
        database: Login of a role that is no superuser, to the copy.
    """

    def __init__(self, folder: Path, taken: set[int]) -> None:
        with home.choosing_ports():
            port = home.free_port(16432, taken)
            self.server = postgres.Server(
                folder / "data", port, "streamflow", "secret", folder / "postgres.log", durable=False
            )
            postgres.create(self.server)
            self.process = postgres.start(self.server)
        self.database = DatabaseSettings(
            port=port, user=ROLE, password="secret", name="copied", sslmode="disable"
        )

    def restart(self) -> None:
        """Restart it as `pg_ctl -m immediate` does: without a word to the sessions, and with recovery at the start."""
        processes.stop(self.process, first=signal.SIGQUIT, grace_seconds=30.0)
        self.process = postgres.start(self.server)

    def end(self) -> None:
        """Shut it down."""
        postgres.shut_down(self.process)

    def connected(self, name: str = "postgres", user: str = "") -> psycopg.Connection:
        """A session of the superuser, or of a role."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.server.port,
            user=user or self.server.user,
            password=self.server.password,
            dbname=name,
            autocommit=True,
        )

    def copy(self, settings: Settings) -> None:
        """Copy a database of another server; the ordinary role may read and write all of it."""
        with self.connected() as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data, pg_write_all_data")
            connection.execute(f"CREATE DATABASE {quote(self.database.name)}")
        source = settings.database
        dump = self.server.folder.parent / "copied.dump"
        for program, login, options in (
            ("pg_dump", source, ["--format=custom", f"--file={dump}", source.name]),
            (
                "pg_restore",
                self.database.model_copy(update={"user": self.server.user}),
                ["--no-owner", "--no-acl", f"--dbname={self.database.name}", str(dump)],
            ),
        ):
            where = [f"--host={login.host}", f"--port={login.port}", f"--username={login.user}"]
            subprocess.run(
                [postgres.binary(program), *where, *options], env={"PGPASSWORD": login.secret}, check=True
            )
        with self.connected(self.database.name) as connection:
            connection.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA streamflow TO {ROLE}")

    def fill(self) -> list[psycopg.Connection]:
        """Take every connection that an ordinary role can get, and those that the server reserves for superusers."""
        taken = []
        for user in (ROLE, self.server.user):
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.append(self.connected(self.database.name, user))
        return taken

    def sessions_of_predict(self, connection: psycopg.Connection) -> list[int]:
        """Process ids of predict's sessions."""
        statement = "SELECT pid FROM pg_stat_activity WHERE application_name = 'streamflow-predict'"
        return [pid for (pid,) in connection.execute(statement)]

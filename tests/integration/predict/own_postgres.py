"""A PostgreSQL server of a test's own with a copy of a database, which may be restarted and filled with sessions."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from streamflow.local import home, postgres, processes
from streamflow.postgres.names import quote
from streamflow.settings import DatabaseSettings, Settings

ROLE = "ordinary"
_TAKEN = "taken"
_PATIENCE_SECONDS = 30


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

    def stop(self) -> None:
        """Stop it as `pg_ctl -m immediate` does: without a word to the sessions."""
        processes.stop(self.process, first=signal.SIGQUIT, grace_seconds=30.0)

    def start(self) -> None:
        """Start it again after `stop`, with recovery."""
        self.process = postgres.start(self.server)

    def restart(self) -> None:
        """Stop it, and start it again."""
        self.stop()
        self.start()

    def end(self) -> None:
        """Shut it down."""
        postgres.shut_down(self.process)

    def connected(self, name: str = "postgres", user: str = "", what: str = "a test") -> psycopg.Connection:
        """A session of the superuser, or of a role."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.server.port,
            user=user or self.server.user,
            password=self.server.password,
            dbname=name,
            application_name=what,
            autocommit=True,
        )

    def copy(self, settings: Settings) -> None:
        """Copy a database of another server; the ordinary role may read and write all of it."""
        with self.connected() as connection:
            connection.execute(
                f"CREATE ROLE {ROLE} LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data, pg_write_all_data"
            )
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

    def _fill(self) -> list[psycopg.Connection]:
        """Take every connection that an ordinary role can get, and those that the server reserves for superusers."""
        taken = []
        for user in (ROLE, self.server.user):
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.append(self.connected(self.database.name, user, _TAKEN))
        return taken

    def fill_up(self, watching: psycopg.Connection) -> list[psycopg.Connection]:
        """End the sessions of everybody else in the copied database, and take their connections too.

        Raises:
            AssertionError: Others were faster for half a minute.
        """
        taken, deadline = self._fill(), time.monotonic() + _PATIENCE_SECONDS
        while others := self.sessions(watching):
            assert time.monotonic() < deadline, f"others keep {len(others)} connections"
            for pid in others:
                watching.execute("SELECT pg_terminate_backend(%s, 1000)", (pid,))
            taken += self._fill()
        return taken

    def sessions(self, watching: psycopg.Connection) -> list[int]:
        """Process ids of the sessions of everybody else in the copied database."""
        statement = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name <> %s"
        return [pid for (pid,) in watching.execute(statement, (self.database.name, _TAKEN))]

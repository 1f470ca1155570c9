"""Clocks that a test sets: that of the database's server, and that of the machine a job runs on."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from streamflow.postgres import clock
from streamflow.postgres.engine import transaction

NOON = datetime(2024, 3, 30, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DAY = timedelta(hours=24)


class Clocks:
    """Both clocks, which stand still until they are set. Setting the server's needs the owner of the database."""

    def __init__(self, database, patch, now=NOON):
        self.database, self.machine = database, now
        patch.setattr(clock, "machine", lambda: self.machine)
        self.set_server(now)

    def set_server(self, now):
        """Set the clock of the database's server."""
        self.server = now
        with transaction(self.database) as connection:
            connection.execute(
                sa.text(
                    "CREATE OR REPLACE FUNCTION streamflow.server_clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
                    f" SET search_path = pg_catalog, pg_temp AS $$SELECT TIMESTAMPTZ '{now.isoformat()}'$$"
                )
            )

    def set(self, now):
        """Set both clocks."""
        self.machine = now
        self.set_server(now)

    def stamp(self):
        """Take a stamp."""
        with transaction(self.database) as connection:
            return clock.stamp(connection)

    def known_now(self):
        """Take a known-at."""
        with transaction(self.database) as connection:
            return clock.known_now(connection)

    def read(self):
        """Read the clocks."""
        with transaction(self.database) as connection:
            return clock.read(connection)

    def accept(self, why="the test says so"):
        """Vouch for the next stamp."""
        with transaction(self.database) as connection:
            return clock.accept(connection, why)

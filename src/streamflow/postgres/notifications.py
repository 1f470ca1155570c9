"""Wait for a notification of PostgreSQL on a connection that its holder uses for nothing else."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def listen(connection: sa.Connection, channel: str) -> None:
    """Listen to a channel from now on.

    Args:
        connection: Connection in autocommit mode.
        channel: Name of the channel, a constant of the code.
    """
    connection.execute(sa.text(f'LISTEN "{channel}"'))


def wait(connection: sa.Connection, seconds: float) -> bool:
    """Wait for a notification.

    Args:
        connection: The connection that listens.
        seconds: Longest time to wait.

    Returns:
        Whether one arrived.

    Raises:
        sa.exc.OperationalError: The connection is lost, and with it every lock that it held.
    """
    driver: Any = connection.connection.driver_connection
    try:
        return any(True for _ in driver.notifies(timeout=seconds, stop_after=1))
    except connection.dialect.loaded_dbapi.OperationalError as error:
        raise sa.exc.OperationalError("LISTEN", None, error, connection_invalidated=True) from error

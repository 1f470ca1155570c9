"""Advisory locks: every name, and the ways to hold one.

A lock taken in a transaction ends with it; one held by a session ends with its connection, so that a process that
dies blocks nobody.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

import sqlalchemy as sa

from streamflow.errors import Refused
from streamflow.postgres import engine as engines
from streamflow.settings import DatabaseSettings

INGEST = "ingest"
LOADING = "loading"
"""Held from the moment a drop gets its loaded-at until it is committed."""
MATERIALIZE = "materialize"
ENGINE = "engine"
"""Held while Feast's batch engine writes the online tables."""
MIGRATE = "migrate"
MLFLOW_UPGRADE = "mlflow-upgrade"


def of_job(name: str) -> str:
    """Name of a job's lock: one run of a job at a time."""
    return f"job:{name}"


def of_promotions(model: str) -> str:
    """Name of the promotion lock of a registered model: one move of its aliases at a time."""
    return f"promote:{model}"


def key(name: str) -> int:
    """Number of a lock: the same in every process and on every machine."""
    return zlib.crc32(f"streamflow:{name}".encode())


def wait(connection: sa.Connection, name: str) -> None:
    """Wait for a lock; hold it until the transaction ends."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key(name)})


def wait_shared(connection: sa.Connection, name: str) -> None:
    """Wait until nobody holds a lock exclusively; share it until the transaction ends."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": key(name)})


def try_now(connection: sa.Connection, name: str) -> bool:
    """Take a lock until the transaction ends; False when another session holds it."""
    statement = sa.text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool(connection.execute(statement, {"key": key(name)}).scalar_one())


def take(connection: sa.Connection, name: str) -> None:
    """Take a lock until the transaction ends.

    Raises:
        Refused: Another session holds it.
    """
    if not try_now(connection, name):
        raise Refused(f"Another '{name}' is running.", hint="Wait until it has ended, then run this again.")


@contextlib.contextmanager
def exclusive(database: DatabaseSettings, name: str) -> Iterator[None]:
    """Hold a lock on a connection of its own, in one transaction.

    Raises:
        Refused: Another session holds it.
        DependencyDown: PostgreSQL does not answer.
    """
    with engines.transaction(database) as connection:
        take(connection, name)
        yield


@contextlib.contextmanager
def held(database: DatabaseSettings, name: str, wait_seconds: float) -> Iterator[sa.Connection]:
    """Wait for a lock and hold it on a connection of its own, which commits each statement.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        Refused: Other sessions held it for `wait_seconds`.
    """
    with _session(database) as connection:
        with engines.translated(database):
            connection.execute(
                sa.text("SELECT set_config('lock_timeout', :wait, false)"),
                {"wait": f"{wait_seconds * 1000:.0f}"},
            )
            try:
                connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key(name)})
            except sa.exc.OperationalError as error:
                if "lock timeout" not in str(error.orig):
                    raise
                raise Refused(
                    f"Another '{name}' is at work for more than {wait_seconds:.0f} s.",
                    hint="Try again later.",
                ) from error
        with engines.translated(database):
            yield connection


@contextlib.contextmanager
def held_if_free(database: DatabaseSettings, name: str) -> Iterator[bool]:
    """Hold a lock on a connection of its own without a transaction; yields False when another session holds it.

    Should the connection be lost meanwhile, the caller's work is not told.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    parameters = {"key": key(name)}
    with _session(database) as connection:
        statement = sa.text("SELECT pg_try_advisory_lock(:key)")
        yield bool(connection.execute(statement, parameters).scalar_one())
        with contextlib.suppress(sa.exc.DBAPIError):
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), parameters)


@contextlib.contextmanager
def _session(database: DatabaseSettings) -> Iterator[sa.Connection]:
    with engines.translated(database):
        connection = engines.engine(database).connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        yield connection
    finally:
        # Closed for good: a session that goes back to the pool would keep the lock and its settings.
        connection.invalidate()
        connection.close()

"""Advisory locks: their names, and the ways to take one.

A transaction's lock is released when the transaction ends, a session's lock when the connection ends. A
process that dies therefore never leaves a lock behind.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from streamflow.errors import Busy, Refused
from streamflow.postgres import engine as engines
from streamflow.settings import DatabaseSettings

INGEST = "ingest"
LOADING = "loading"
"""An ingest holds this from choosing a drop's loaded-at until the commit; see `clock.known_now`."""
MATERIALIZE = "materialize"
ENGINE = "engine"
"""Feast's batch engine holds this while it writes the online tables."""
ERASE = "erase"
MIGRATE = "migrate"
MLFLOW_UPGRADE = "mlflow-upgrade"


_KEEPALIVES = {"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "6"}
"""PostgreSQL notices within two minutes that the node of a holder is lost; by default after two hours."""


def of_job(name: str) -> str:
    """Return the name of the lock that allows one run of a job at a time."""
    return f"job:{name}"


def of_shard(run: str, shard: int) -> str:
    """Return the name of the lock for one shard of a scoring: one process scores it at a time."""
    return f"shard:{run}:{shard}"


def of_promotions(model: str) -> str:
    """Return the name of the promotion lock of a registered model: one move of its aliases at a time."""
    return f"promote:{model}"


def of_registrar(model: str) -> str:
    """Return the name of the lock that the leading registrar of a model holds."""
    return f"registrar:{model}"


def of_drift(model: str) -> str:
    """Return the name of the lock for verdicts on drift of a registered model: one is given at a time."""
    return f"drift:{model}"


def of_restore(database: str) -> str:
    """Return the name of the lock for a restore of a database. It is taken in the maintenance database."""
    return f"restore:{database}"


def key(name: str) -> int:
    """Return the number of a lock: the same in every process and release.

    Do not change it: during an upgrade, old and new processes must exclude each other.
    """
    return zlib.crc32(f"streamflow:{name}".encode())


def wait(connection: sa.Connection, name: str) -> None:
    """Wait for a lock and hold it until the transaction ends."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key(name)})


def wait_shared(connection: sa.Connection, name: str) -> None:
    """Wait for a lock in shared mode and hold it until the transaction ends."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": key(name)})


def try_now(connection: sa.Connection, name: str) -> bool:
    """Take a lock until the transaction ends, or return False if another session holds it."""
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
    """Hold a lock for the duration of a `with` block, in a transaction on a separate connection.

    Raises:
        Refused: Another session holds it.
        DependencyDown: PostgreSQL does not answer.
    """
    with engines.transaction(database) as connection:
        take(connection, name)
        yield


@contextlib.contextmanager
def held(database: DatabaseSettings, name: str, wait_seconds: float) -> Iterator[sa.Connection]:
    """Wait for a lock and hold it for the duration of a `with` block, on a separate connection.

    Yields:
        The connection. It is in autocommit mode, so the caller's statements take effect at once.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        Busy: The lock did not become free within `wait_seconds`.
    """
    with all_held(database, [name], wait_seconds) as connection:
        yield connection


@contextlib.contextmanager
def all_held(
    database: DatabaseSettings, names: Sequence[str], wait_seconds: float
) -> Iterator[sa.Connection]:
    """Like `held`, for several locks, which are taken one after the other.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        Busy: One of them did not become free within `wait_seconds`; the message names it.
    """
    with _session(database) as connection:
        with engines.translated(database):
            # SET accepts no parameters; set_config() does.
            connection.execute(
                sa.text("SELECT set_config('lock_timeout', :wait, false)"),
                {"wait": f"{wait_seconds * 1000:.0f}"},
            )
            for name in names:
                _wait_in_session(connection, name, wait_seconds)
        with engines.translated(database):
            yield connection


def _wait_in_session(connection: sa.Connection, name: str, wait_seconds: float) -> None:
    try:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key(name)})
    except sa.exc.OperationalError as error:
        if "lock timeout" not in str(error.orig):
            raise
        raise Busy(
            f"Another '{name}' is at work for more than {wait_seconds:.0f} s.",
            hint="Try again later.",
        ) from error


@contextlib.contextmanager
def held_if_free(database: DatabaseSettings, name: str) -> Iterator[sa.Connection | None]:
    """Try to take a lock and hold it for the duration of a `with` block, on a separate connection.

    No transaction stays open meanwhile. If the connection is lost, so is the lock, and the caller does not
    notice, unless it uses the connection.

    Yields:
        The connection that holds the lock, in autocommit mode; None if another session holds it.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    parameters = {"key": key(name)}
    with _session(database) as connection:
        statement = sa.text("SELECT pg_try_advisory_lock(:key)")
        yield connection if connection.execute(statement, parameters).scalar_one() else None
        # If the connection was lost, the lock is free already. The second error says that this was noticed before.
        with contextlib.suppress(sa.exc.DBAPIError, sa.exc.PendingRollbackError):
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), parameters)


@contextlib.contextmanager
def awaited(
    database: DatabaseSettings, name: str, *, shared: bool = False, look_seconds: float = 1.0
) -> Iterator[sa.Connection]:
    """Wait for a lock however long it takes, and hold it for the duration of a `with` block, on a separate connection.

    Args:
        database: Connection settings.
        name: Name of the lock.
        shared: Whether to hold it beside others that share it; nobody else can take it meanwhile.
        look_seconds: Interval between two attempts. No attempt waits, so that a signal is noticed.

    Yields:
        The connection that holds the lock, in autocommit mode. If it is lost, so is the lock.

    Raises:
        DependencyDown: PostgreSQL does not answer.
    """
    statement = sa.text(f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}(:key)")
    with _session(database) as connection:
        with engines.translated(database):
            while not connection.execute(statement, {"key": key(name)}).scalar_one():
                time.sleep(look_seconds)
        # The end of the session releases it.
        yield connection


@contextlib.contextmanager
def _session(database: DatabaseSettings) -> Iterator[sa.Connection]:
    with engines.translated(database):
        connection = engines.engine(database).connect().execution_options(isolation_level="AUTOCOMMIT")
        for name, value in _KEEPALIVES.items():
            connection.execute(
                sa.text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value}
            )
    try:
        yield connection
    finally:
        # Do not return the connection to the pool: it would keep the session's lock and settings.
        connection.invalidate()
        connection.close()

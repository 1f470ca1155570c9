"""The one way to reach PostgreSQL: engine, transaction, advisory lock.

Schemas of the database `streamflow`:

    streamflow   ledger of drops, quarantine, materializations, promotions, scores, job runs
    source       source tables, append-only, bitemporal (as_of, loaded_at)
    features     the *_snapshots views that Feast reads
    online       one wide table per feature view, which predict and Feast read
    feast        Feast's registry
    known_*      the same views as in `features`, filtered at one known-at; live as long as a run
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

import psycopg
import sqlalchemy as sa
from psycopg.errors import UndefinedTable

from streamflow.errors import DependencyDown, Refused
from streamflow.settings import DatabaseSettings, Settings


@lru_cache(maxsize=8)
def _engine(url: str) -> sa.Engine:
    # A rotated password is another URL, and so another engine.
    # pre_ping: a restarted PostgreSQL costs one reconnect, never a lost pool slot.
    made = sa.create_engine(url, pool_size=2, max_overflow=4, pool_pre_ping=True, pool_recycle=1800)
    sa.event.listen(made, "connect", _speak_utc)
    return made


def _speak_utc(connection: psycopg.Connection, _record: object) -> None:
    """Times come in UTC, whatever PGTZ and the server's own zone say: that is what we print them as."""
    connection.autocommit = True
    connection.execute("SET TIME ZONE 'UTC'")
    connection.autocommit = False


def engine(settings: Settings | DatabaseSettings) -> sa.Engine:
    """The process-wide SQLAlchemy engine for these settings (psycopg 3)."""
    database = settings.database if isinstance(settings, Settings) else settings
    return _engine(database.url())


@contextlib.contextmanager
def transaction(settings: Settings | DatabaseSettings) -> Iterator[sa.Connection]:
    """One transaction: committed at the end, rolled back on any error.

    Raises:
        DependencyDown: PostgreSQL does not answer, lets nobody in, or has no tables of the platform yet.
    """
    database = settings.database if isinstance(settings, Settings) else settings
    with _told(database), engine(database).begin() as connection:
        yield connection


@contextlib.contextmanager
def session(database: DatabaseSettings, name: str) -> Iterator[sa.Connection]:
    """One transaction in the database `name`, on a connection that no pool keeps.

    Raises:
        DependencyDown: PostgreSQL does not answer, or lets nobody in.
    """
    there = database.model_copy(update={"name": name})
    own = sa.create_engine(there.url(), poolclass=sa.NullPool)
    with _told(there), own.begin() as connection:
        yield connection


@contextlib.contextmanager
def _told(database: DatabaseSettings) -> Iterator[None]:
    """Errors that a user can do something about, in our words."""
    try:
        yield
    except sa.exc.OperationalError as error:
        reason = str(error.orig).lower()
        if error.connection_invalidated or "connect" in reason or "resolve host" in reason:
            raise _down(database, error) from error
        raise
    except sa.exc.ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable) and '"streamflow.' in str(error.orig):
            raise DependencyDown(
                f"The database '{database.name}' at {database.host}:{database.port} has not the platform's tables.",
                hint="Run 'streamflow db migrate' ('streamflow up' does it), or check STREAMFLOW_DATABASE__NAME.",
                details=(str(error.orig).strip().splitlines()[0],),
            ) from error
        raise


def _down(database: DatabaseSettings, error: sa.exc.OperationalError) -> DependencyDown:
    reason = str(error.orig).strip().splitlines()[0]
    where = f"PostgreSQL at {database.host}:{database.port}"
    if "FATAL" in reason and ("authentication failed" in reason or "does not exist" in reason):
        return DependencyDown(
            f"{where} does not let '{database.user}' into the database '{database.name}'.",
            hint="Check STREAMFLOW_DATABASE__NAME, __USER and __PASSWORD; 'streamflow settings show' lists them.",
            details=(reason,),
        )
    return DependencyDown(
        f"{where} does not answer.",
        hint="Start the local stack with 'streamflow up', or check STREAMFLOW_DATABASE__HOST and __PORT.",
        details=(reason,),
    )


def after_loading(connection: sa.Connection) -> datetime:
    """The present time of the database, once every drop that has its loaded-at is committed."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": lock_key("loading")})
    now: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return now.astimezone(UTC)


def lock_key(name: str) -> int:
    """The advisory lock number of a name: stable across processes and machines."""
    return zlib.crc32(f"streamflow:{name}".encode())


def try_lock(connection: sa.Connection, name: str) -> bool:
    """Take the advisory lock `name` until the end of the transaction; False when somebody holds it."""
    return bool(
        connection.execute(
            sa.text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": lock_key(name)}
        ).scalar_one()
    )


@contextlib.contextmanager
def exclusive(settings: Settings, name: str) -> Iterator[None]:
    """Hold the advisory lock `name` on a connection of its own, so that two never do `name` at once.

    Raises:
        Refused: another process holds it.
    """
    with transaction(settings) as connection:
        if not try_lock(connection, name):
            raise Refused(
                f"Another '{name}' is running.", hint="Wait until it has ended, then run this again."
            )
        yield


@contextlib.contextmanager
def held(settings: Settings, name: str, wait_seconds: float) -> Iterator[sa.Connection]:
    """Wait for the advisory lock `name`, and hold it on a connection of its own that commits each statement.

    The lock ends with the connection, so that a process that dies holds up nobody.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        Refused: others held it all the time.
    """
    database = settings.database
    with _told(database):
        connection = engine(database).connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.execute(
            sa.text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": f"{wait_seconds * 1000:.0f}"}
        )
        try:
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": lock_key(name)})
        except sa.exc.OperationalError as error:
            if "lock timeout" not in str(error.orig):
                raise
            raise Refused(
                f"Another '{name}' is at work for more than {wait_seconds:.0f} s.", hint="Try again later."
            ) from error
        with _told(database):
            yield connection
    finally:
        # Closed for good: a session that goes back to the pool would keep the lock and its settings.
        connection.invalidate()
        connection.close()


def quote(*parts: str) -> str:
    """Dotted, quoted SQL identifier: quote('online', 'a b') == '"online"."a b"'."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)

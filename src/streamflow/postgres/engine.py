"""Connect to PostgreSQL, and translate its failures into StreamFlow's errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import lru_cache

import psycopg
import sqlalchemy as sa
from psycopg.errors import DiskFull as DiskFullError
from psycopg.errors import InsufficientPrivilege, InvalidSchemaName, UndefinedFunction, UndefinedTable

from streamflow.errors import DependencyDown, DiskFull
from streamflow.settings import DatabaseSettings

ColumnRefusesError = psycopg.DataError
"""Raised by a COPY, which does not go through SQLAlchemy, for a value that its column cannot hold."""
_NO_CONNECTION_LEFT = re.compile("too many clients|connection slots are reserved|too many connections for")


@lru_cache(maxsize=8)
def _engine(url: str) -> sa.Engine:
    # The cache key contains the password, so rotating it yields a new engine.
    # pool_pre_ping replaces connections that a restart of PostgreSQL broke, before a statement fails on them.
    made = sa.create_engine(
        url,
        pool_size=2,
        max_overflow=4,
        pool_pre_ping=True,
        pool_recycle=1800,
        # Parameters are people's keys and values; an error with them would end in a log.
        hide_parameters=True,
    )
    sa.event.listen(made, "connect", _speak_utc)
    return made


def _speak_utc(connection: psycopg.Connection, _record: object) -> None:
    """Set the session's time zone to UTC, overriding PGTZ and the server's setting: we print times as UTC."""
    # Outside a transaction, whose rollback would also undo the SET.
    connection.autocommit = True
    connection.execute("SET TIME ZONE 'UTC'")
    connection.autocommit = False


def engine(database: DatabaseSettings) -> sa.Engine:
    """Return the process-wide SQLAlchemy engine of a database. It uses psycopg 3."""
    return _engine(database.url())


@contextlib.contextmanager
def transaction(database: DatabaseSettings) -> Iterator[sa.Connection]:
    """Run a transaction, committed at the end and rolled back on any error.

    Raises:
        DependencyDown: PostgreSQL does not answer, refuses the login, or lacks StreamFlow's tables.
    """
    with translated(database), engine(database).begin() as connection:
        yield connection


@contextlib.contextmanager
def session(database: DatabaseSettings, name: str) -> Iterator[sa.Connection]:
    """Run a transaction in another database of the same server, on an unpooled connection.

    Raises:
        DependencyDown: PostgreSQL does not answer, or refuses the login.
    """
    there = database.model_copy(update={"name": name})
    own = sa.create_engine(there.url(), poolclass=sa.NullPool, hide_parameters=True)
    with translated(there), own.begin() as connection:
        yield connection


@contextlib.contextmanager
def ending_session(database: DatabaseSettings, name: str) -> Iterator[sa.Connection]:
    """Open an unpooled connection to a database of the same server that somebody else may end; nothing is committed.

    Raises:
        DependencyDown: PostgreSQL does not answer, or refuses the login.
    """
    there = database.model_copy(update={"name": name})
    with translated(there):
        connection = sa.create_engine(there.url(), poolclass=sa.NullPool).connect()
    try:
        yield connection
    finally:
        connection.invalidate()
        connection.close()


@contextlib.contextmanager
def translated(database: DatabaseSettings) -> Iterator[None]:
    """Translate PostgreSQL's errors that a user can fix into errors with a hint. Others pass through.

    Raises:
        DependencyDown: PostgreSQL does not answer, refuses the login, or lacks StreamFlow's tables.
        DiskFull: The disk of PostgreSQL is full.
    """
    try:
        yield
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, DiskFullError):
            raise _full(database) from error
        reason = str(error.orig).lower()
        if error.connection_invalidated or "connect" in reason or "resolve host" in reason:
            raise unavailable(database, error) from error
        raise
    except DiskFullError as error:
        # Of a COPY, which does not go through SQLAlchemy.
        raise _full(database) from error
    except sa.exc.ProgrammingError as error:
        # PostgreSQL quotes the name of a table and not that of a function.
        missing = isinstance(error.orig, UndefinedTable | UndefinedFunction | InvalidSchemaName)
        if missing and re.search(r'["\s](streamflow|monitoring)[."]', str(error.orig)):
            raise DependencyDown(
                f"The database '{database.name}' at {database.host}:{database.port} does not contain"
                " StreamFlow's tables, or those of an older version.",
                hint="Run 'streamflow db migrate' ('streamflow up' does it), or check STREAMFLOW_DATABASE__NAME.",
                details=(str(error.orig).strip().splitlines()[0],),
            ) from error
        raise


def denied(error: sa.exc.ProgrammingError) -> bool:
    """Whether PostgreSQL refused a statement because the login may not do this."""
    return isinstance(error.orig, InsufficientPrivilege)


def why_refused(error: ColumnRefusesError) -> str:
    """PostgreSQL's reason, without its context, which quotes the row."""
    return error.diag.message_primary or str(error)


def _full(database: DatabaseSettings) -> DiskFull:
    return DiskFull(
        f"The disk of PostgreSQL at {database.host}:{database.port} is full.",
        hint="Free some space on the disk or volume of its data folder, then run this again; nothing was committed.",
    )


def unavailable(database: DatabaseSettings, error: sa.exc.OperationalError) -> DependencyDown:
    """The error to show when a connection cannot be opened or is lost: what is wrong, and what to do."""
    reason = str(error.orig).strip().splitlines()[0]
    where = f"PostgreSQL at {database.host}:{database.port}"
    if "FATAL" in reason and ("authentication failed" in reason or "does not exist" in reason):
        return DependencyDown(
            f"{where} does not let '{database.user}' into the database '{database.name}'.",
            hint="Check STREAMFLOW_DATABASE__NAME, __USER and __PASSWORD; 'streamflow settings show' lists them.",
            details=(reason,),
        )
    if _NO_CONNECTION_LEFT.search(reason):
        return DependencyDown(
            f"{where} has no connection left for '{database.user}'.",
            hint="Try again later. If that persists, end sessions that nobody needs (pg_stat_activity lists them), or"
            " raise max_connections.",
            details=(reason,),
        )
    if "not currently accepting connections" in reason:
        return DependencyDown(
            f"The database '{database.name}' at {database.host}:{database.port} refuses connections.",
            hint="If a restore was cut short, put that right: 'helm upgrade' on Kubernetes, 'streamflow up' on a laptop.",
            details=(reason,),
        )
    return DependencyDown(
        f"{where} does not answer.",
        hint="Check that the server is up ('streamflow up' starts a local one), and STREAMFLOW_DATABASE__HOST and"
        " __PORT.",
        details=(reason,),
    )

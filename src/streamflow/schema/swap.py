"""Swap restored databases in, one restore at a time, and clean up after one that was killed.

A restore fills databases beside the present ones. One transaction renames all of them, so that a process killed at any
moment leaves the former databases or the restored ones, and never refuses anybody for long. Until that transaction ends,
nobody can connect: PostgreSQL lets new connections wait while a database is being renamed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from streamflow.errors import DependencyDown, Refused, StreamFlowError
from streamflow.postgres import catalog, locks, statements
from streamflow.postgres.names import quote
from streamflow.schema.prepare import MAINTENANCE_DATABASE, autocommit
from streamflow.settings import DatabaseSettings

RESTORING = "_restoring"
"""Ending of the name of a database that is being restored."""

REPLACED = "_replaced"
"""Ending of the name of a database that was replaced."""

_PAUSE_SECONDS = 0.02
_SQL = statements.load(Path(__file__).with_name("swap.sql"))


def _names(database: DatabaseSettings) -> tuple[str, str]:
    return database.name, database.mlflow_name


@contextlib.contextmanager
def exclusive(database: DatabaseSettings) -> Iterator[None]:
    """Hold the lock for a restore, and clean up after one that was killed.

    The lock is taken in a database that is never swapped.

    Raises:
        Refused: Another restore is running.
        DependencyDown: PostgreSQL does not answer.
    """
    with _lock(database) as connection:
        if connection is None:
            raise Refused(
                f"Another restore, or an upgrade, of '{database.name}' is running.",
                hint="Wait until it has ended, then run this again.",
            )
        heal_locked(database)
        yield


def heal(database: DatabaseSettings) -> tuple[str, ...]:
    """Clean up after a restore that was killed; do nothing if one is running, or if this login may not.

    Returns:
        What was done, one sentence each.
    """
    try:
        with _lock(database) as connection:
            # The migration that follows says it if PostgreSQL does not answer.
            if connection is None or not catalog.may_create_databases(connection):
                return ()
            return heal_locked(database)
    except DependencyDown:
        return ()


def _lock(database: DatabaseSettings) -> contextlib.AbstractContextManager[sa.Connection | None]:
    there = database.model_copy(update={"name": MAINTENANCE_DATABASE})
    return locks.held_if_free(there, locks.of_restore(database.name))


def heal_locked(database: DatabaseSettings) -> tuple[str, ...]:
    """Clean up after a restore that was killed. The caller holds the lock.

    The databases that are left tell how far it got: the restored ones if it had not renamed any, else the replaced ones.
    A restore of an earlier release let the present databases refuse connections first; they accept them again. Each
    step can be repeated, and the databases that tell the state are deleted last.
    """
    done = []
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        accepts = _databases(connection)
        left = [
            name + end for name in _names(database) for end in (RESTORING, REPLACED) if name + end in accepts
        ]
        if not left:
            return ()
        for name in _names(database):
            former = name + REPLACED
            if name not in accepts and former in accepts:
                connection.exec_driver_sql(f"ALTER DATABASE {quote(former)} RENAME TO {quote(name)}")
                left.remove(former)
                accepts[name] = accepts[former]
                done.append(f"The database '{name}' is back; it was called '{former}'.")
            if not accepts.get(name, True):
                connection.exec_driver_sql(f"ALTER DATABASE {quote(name)} ALLOW_CONNECTIONS true")
                done.append(f"The database '{name}' accepts connections again.")
        drop(connection, left)
    done += [f"The database '{name}' of a restore that was cut short is deleted." for name in left]
    return tuple(done)


def _databases(connection: sa.Connection) -> dict[str, bool]:
    """The server's databases, and whether each accepts connections."""
    rows = connection.execute(sa.text(_SQL["databases"]))
    return {name: bool(accepts) for name, accepts in rows}


def drop(connection: sa.Connection, names: Sequence[str]) -> None:
    """Delete databases that exist, and end all sessions in them."""
    for name in names:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)")


def swap(database: DatabaseSettings, names: Sequence[str], last: int | None = None) -> None:
    """Replace databases with the restored ones, all at once, and delete the replaced ones. The caller holds the lock.

    Args:
        database: Login that may create databases and end sessions.
        names: Names of the databases.
        last: Process id of the session that is ended after all others, which therefore miss what it keeps locked.

    Raises:
        StreamFlowError: Sessions could not be ended; the present databases are unchanged.
    """
    with autocommit(database, MAINTENANCE_DATABASE) as connection:
        existing = catalog.databases(connection)
        present = [name for name in names if name in existing]
        renames = [(name, name + REPLACED) for name in present]
        renames += [(name + RESTORING, name) for name in names]
        with _without_sessions(database, connection, present, last) as ending:
            try:
                connection.exec_driver_sql("BEGIN")
                for old, new in renames:
                    connection.exec_driver_sql(f"ALTER DATABASE {quote(old)} RENAME TO {quote(new)}")
                connection.exec_driver_sql("COMMIT")
            except sa.exc.DBAPIError as error:
                with contextlib.suppress(sa.exc.DBAPIError):
                    connection.exec_driver_sql("ROLLBACK")
                if error.connection_invalidated:
                    raise _unknown(database) from error
                raise StreamFlowError(
                    "The restored databases could not be swapped in. The present databases are unchanged.",
                    details=(str(error.orig).strip().splitlines()[0], *ending),
                    hint="Log in as an administrator who may end other sessions, and try again.",
                ) from error
        # The restore is done. What cannot be deleted now, the next start or restore deletes.
        with contextlib.suppress(sa.exc.DBAPIError):
            drop(connection, [name + REPLACED for name in present])


def _unknown(database: DatabaseSettings) -> DependencyDown:
    return DependencyDown(
        f"PostgreSQL at {database.host}:{database.port} went away during the swap: the databases are all the former or"
        " all the restored ones.",
        hint="If the last row of 'streamflow models history' is no 'restore', run this again.",
    )


@contextlib.contextmanager
def _without_sessions(
    database: DatabaseSettings, renaming: sa.Connection, names: Sequence[str], last: int | None
) -> Iterator[list[str]]:
    """End the sessions in each database as soon as it is being renamed.

    Not before: pools connect again at once. PostgreSQL gives a rename five seconds for it.

    Yields:
        Why sessions could not be ended, once that is known.
    """
    pid = renaming.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    failures: list[str] = []
    ended = threading.Event()

    def work() -> None:
        try:
            with autocommit(database, MAINTENANCE_DATABASE) as connection:
                while not ended.wait(_PAUSE_SECONDS):
                    for name in names:
                        values = {"database": name, "renaming": pid, "last": last}
                        connection.execute(sa.text(_SQL["end_sessions"]), values)
        except (sa.exc.DBAPIError, DependencyDown) as error:
            failures.append(str(error).strip().splitlines()[0])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield failures
    finally:
        ended.set()
        thread.join()

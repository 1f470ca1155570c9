"""Connections to the online store; one that fails is replaced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import asyncpg

from streamflow.errors import UsageError
from streamflow.http.problems import Problem, ProblemError
from streamflow.predict.features.read_plan import schema_mismatch
from streamflow.settings import DatabaseSettings

_LOST: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    # What a connection says that the server ended while it was idle.
    asyncpg.InternalClientError,
)
_FAILED: tuple[type[Exception], ...] = (*_LOST, asyncpg.PostgresError, TimeoutError)
_PLANS = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"
"""Every statement is prepared once and looks entities up by key. With a new plan for each batch, which PostgreSQL prefers
for arrays, planning takes longer than reading, and larger batches scan whole tables."""

_LISTEN_SECONDS = 5.0
_MISSING = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)


class Connection:
    """One connection, opened when needed and discarded at the first failure."""

    def __init__(self, database: DatabaseSettings) -> None:
        self._database = database
        self._connection: asyncpg.Connection[Any] | None = None
        self._listening: asyncpg.Connection[Any] | None = None
        self._ended = False

    async def fetch(self, statement: str, *arguments: Any, timeout: float) -> list[Any]:
        """Run one statement; a connection that the server closed is replaced once.

        Args:
            statement: SQL with `$1` and so on for the arguments.
            arguments: Arguments of the statement.
            timeout: Longest time including a new connection, in seconds.

        Raises:
            ProblemError: `feature_store_unavailable`, or `schema_mismatch` if a table or column is missing.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            with self._ending_after(timeout):
                return await self._fetch(statement, arguments, deadline)
        except _MISSING as error:
            raise ProblemError(schema_mismatch(str(error))) from error
        except UsageError as error:
            raise _unavailable(error.what) from error
        except Exception as error:
            # asyncpg fails in any manner, AttributeError too, on a connection that ends between two of its steps.
            if not self._ended and not isinstance(error, _FAILED):
                raise
            self.drop()
            late = self._ended or isinstance(error, TimeoutError)
            why = f"it did not answer within {timeout:.1f} s" if late else type(error).__name__
            raise _unavailable(why) from error

    async def listen(self, channel: str, heard: Callable[[str], None]) -> bool:
        """Hear of notifications on a channel for as long as the present connection lasts.

        Args:
            channel: Name of the channel.
            heard: Called with each payload.

        Returns:
            True if this call began to listen; False if it was listening already, or there is no connection.
        """
        connection = self._connection
        if connection is None or connection is self._listening:
            return False
        try:
            with self._ending_after(_LISTEN_SECONDS):
                await connection.add_listener(channel, lambda *arguments: heard(str(arguments[-1])))
        except Exception as error:
            if not self._ended and not isinstance(error, _FAILED):
                raise
            # The next statement finds out.
            return False
        self._listening = connection
        return True

    @contextlib.contextmanager
    def _ending_after(self, seconds: float) -> Iterator[None]:
        """End the connection when the time is up.

        Neither asyncpg's own timeout nor a cancellation would do: both ask the server over another connection to cancel
        the query, and wait for it.
        """
        self._ended = False
        ending = asyncio.get_running_loop().call_later(seconds, self._end)
        try:
            yield
        finally:
            ending.cancel()

    def _end(self) -> None:
        """Fail whatever waits on the connection."""
        self._ended = True
        self.drop()

    async def _fetch(self, statement: str, arguments: Sequence[Any], deadline: float) -> list[Any]:
        fresh = self._connection is None or self._connection.is_closed()
        try:
            connection = await self._open(deadline) if fresh else self._connection
            assert connection is not None  # noqa: S101  # one of the two branches has set it
            rows: list[Any] = await connection.fetch(statement, *arguments)
        except _LOST:
            if fresh or self._ended:
                raise
            self.drop()
        else:
            return rows
        connection = await self._open(deadline)
        rows = await connection.fetch(statement, *arguments)
        return rows

    async def _open(self, deadline: float) -> asyncpg.Connection[Any]:
        database = self._database
        left = deadline - asyncio.get_running_loop().time()
        self._connection = await asyncpg.connect(
            host=database.host,
            port=database.port,
            database=database.name,
            user=database.user,
            # Read again: the password may have changed since the last connection.
            password=database.secret or None,
            ssl=database.sslmode,
            timeout=min(max(left, 0.001), database.connect_timeout_seconds),
            server_settings={"application_name": "streamflow-predict"},
        )
        if self._ended:
            raise TimeoutError
        # Not in the startup packet: connection poolers refuse settings there.
        await self._connection.execute(_PLANS)
        return self._connection

    def drop(self) -> None:
        """Discard the connection without waiting for the server."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class Connections:
    """The service's connections; a statement waits for a free one."""

    def __init__(self, database: DatabaseSettings, size: int) -> None:
        self._all = [Connection(database) for _ in range(size)]
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in self._all:
            self._free.put_nowait(connection)

    async def fetch(self, statement: str, *arguments: Any, timeout: float) -> list[Any]:
        """Run one statement on a free connection; see `Connection.fetch`."""
        try:
            connection = self._free.get_nowait() if self._free.qsize() else await self._next_free(timeout)
        except TimeoutError:
            raise _unavailable("all connections are busy") from None
        try:
            return await connection.fetch(statement, *arguments, timeout=timeout)
        finally:
            self._free.put_nowait(connection)

    async def _next_free(self, timeout: float) -> Connection:
        async with asyncio.timeout(timeout):
            return await self._free.get()

    def close(self) -> None:
        """Discard every connection."""
        for connection in self._all:
            connection.drop()


def _unavailable(why: str) -> ProblemError:
    detail = (
        f"The feature store cannot be read ({why}). Try again; if the problem persists, check PostgreSQL."
    )
    return ProblemError(Problem("feature_store_unavailable", detail, retry_after=1))

"""Connections of predict that end at an awkward moment: a controlled answer, and nothing on the log of the event loop."""

from __future__ import annotations

import asyncio
import gc

import asyncpg
import pytest
import uvloop

from streamflow.http.problems import ProblemError
from streamflow.predict.features import connections
from streamflow.predict.features.connections import Connection


def test_no_pause_of_postgresql_leaves_a_word_with_the_event_loop(settings, stopped, monkeypatch):
    monkeypatch.setattr(connections, "_LISTEN_SECONDS", 0.3)
    said: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: said.append(str(context)))
        connection = Connection(settings.database)
        try:
            await connection.fetch("SELECT 1", timeout=10)
            before = asyncio.all_tasks()
            with stopped():
                heard = await connection.listen("promotions", print)
                # asyncpg would ask PostgreSQL over another connection to cancel the query.
                left = asyncio.all_tasks() - before
                seen.append((heard, left, connection._connection))
                # Both while they open a connection.
                for _ in range(2):
                    seen.append(await _refused(connection))
            seen.append((await connection.fetch("SELECT 1", timeout=10))[0][0])
            seen.append(await connection.listen("promotions", print))
        finally:
            connection.drop()
        await asyncio.sleep(0)
        gc.collect()

    seen: list[object] = []
    uvloop.run(main())
    away = "feature_store_unavailable"
    assert seen == [(False, set(), None), away, away, 1, True]
    assert said == []


async def _refused(connection):
    try:
        await connection.fetch("SELECT 1", timeout=0.3)
    except ProblemError as error:
        return error.problem.code


def test_a_connection_that_ends_between_two_steps_of_asyncpg_is_unavailable(settings, monkeypatch):
    """Its deadline may pass after PostgreSQL has prepared a statement and before asyncpg runs it."""
    connection = Connection(settings.database)
    step = asyncpg.Connection._get_statement

    async def ends_after_it(self, *arguments, **options):
        statement = await step(self, *arguments, **options)
        connection._end()
        return statement

    async def main() -> None:
        await connection.fetch("SELECT 1", timeout=10)
        monkeypatch.setattr(asyncpg.Connection, "_get_statement", ends_after_it)
        with pytest.raises(ProblemError) as caught:
            await connection.fetch("SELECT 2", timeout=10)
        assert caught.value.problem.code == "feature_store_unavailable"
        monkeypatch.undo()
        assert (await connection.fetch("SELECT 2", timeout=10))[0][0] == 2
        connection.drop()

    uvloop.run(main())

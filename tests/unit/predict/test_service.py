"""Requests for several entities: one version, one deadline, shared reads, and a limit."""

from __future__ import annotations

import asyncio
import time

import pytest

from streamflow.http.problems import ProblemError
from streamflow.predict.models.live_model import LiveModel, Served
from streamflow.predict.observe import metrics
from streamflow.predict.service import Service
from streamflow.settings import PredictSettings


class EmptyStore:
    """An online store without rows that blocks until it is released, and records what it is asked for."""

    def __init__(self, seconds=0.0):
        self.open = asyncio.Event()
        self.reads = []
        self._seconds = seconds

    async def fetch(self, statement, keys, *, timeout):
        self.reads.append(keys)
        await self.open.wait()
        await asyncio.sleep(self._seconds)
        return [(None, None, None)] * len(keys)


def service(live, store, **settings):
    return Service(PredictSettings(**{"deadline_seconds": 60.0, **settings}), live, store)


async def settled():
    """Run every task that is ready."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_waiting_requests_share_reads_and_each_gets_its_own_answers(live):
    async def scenario():
        store = EmptyStore()
        one = service(live, store, pool_size=1)
        busy = [asyncio.ensure_future(one.many([name])) for name in ("x", "y")]
        await settled()
        waiting = [asyncio.ensure_future(one.many(keys)) for keys in (["a", "b"], ["c"], ["a"])]
        await settled()
        assert store.reads == [["x", "y"]]
        store.open.set()
        found = [[outcome.key for outcome in await task] for task in (*busy, *waiting)]
        assert found == [["x"], ["y"], ["a", "b"], ["c"], ["a"]]
        assert len(store.reads) == 2

    asyncio.run(scenario())


def test_a_swap_between_two_reads_of_a_request_does_not_change_its_version(live: LiveModel):
    async def scenario():
        store = EmptyStore()
        one = service(live, store, max_batch=2)
        before = live.served
        task = asyncio.ensure_future(one.many(list("abcde")))
        await settled()
        assert store.reads == [["a", "b"]]
        live.served = Served(before.release, before.plan, 1.0)
        store.open.set()
        outcomes = await task
        assert [outcome.served is before for outcome in outcomes] == [True] * 5
        assert (await one.many(["f"]))[0].served is live.served

    asyncio.run(scenario())


def test_requests_beyond_the_queue_are_shed_and_counted(live):
    async def scenario():
        store = EmptyStore()
        one = service(live, store, max_batch=10, max_queue=1, max_request_entities=10)
        tasks = [asyncio.ensure_future(one.many([str(n)] * 10)) for n in range(20)]
        shed = metrics.SHED._value.get()
        await settled()
        refused = [task for task in tasks if task.done()]
        assert {task.exception().problem.code for task in refused} == {"overloaded"}
        assert len(refused) == metrics.SHED._value.get() - shed > 0
        store.open.set()
        answered = [await task for task in tasks if task not in refused]
        assert [len(outcomes) for outcomes in answered] == [10] * (20 - len(refused))
        assert len(answered) >= 8

    asyncio.run(scenario())


def test_one_deadline_covers_all_reads_of_a_request(live):
    async def scenario():
        store = EmptyStore(seconds=0.05)
        store.open.set()
        one = service(live, store, max_batch=1, deadline_seconds=0.2)
        began = time.monotonic()
        with pytest.raises(ProblemError) as refused:
            await one.many([str(n) for n in range(1000)])
        assert refused.value.problem.code == "overloaded"
        assert refused.value.problem.retry_after
        # A thousand reads would take 50 s.
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.3)
        read = len(store.reads)
        await asyncio.sleep(0.2)
        assert len(store.reads) == read

    asyncio.run(scenario())

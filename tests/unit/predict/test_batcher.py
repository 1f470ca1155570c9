"""Requests that arrive while a batch is in flight form the next one."""

import asyncio

import pytest

from streamflow.predict.batcher import Batcher, OverloadedError


def batcher(work, **overrides):
    knobs = {"max_batch": 8, "max_queue": 16, "deadline_seconds": 30.0} | overrides
    return Batcher(work, **knobs)


class Gate:
    """Work that blocks until it is released, and records its batches."""

    def __init__(self):
        self.open = asyncio.Event()
        self.batches = []

    async def __call__(self, keys):
        self.batches.append(list(keys))
        await self.open.wait()
        return [key * 10 for key in keys]


def test_an_idle_batcher_answers_one_request_in_a_batch_of_its_own():
    async def scenario():
        gate = Gate()
        gate.open.set()
        assert await batcher(gate).submit(1) == 10
        assert gate.batches == [[1]]

    asyncio.run(scenario())


def test_requests_that_arrive_during_a_batch_form_the_next_ones_up_to_the_largest_size():
    async def scenario():
        gate = Gate()
        one = batcher(gate)
        first = one.submit(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [one.submit(i) for i in range(1, 12)]
        await asyncio.sleep(0)
        assert gate.batches == [[0]]
        gate.open.set()
        assert await asyncio.gather(first, *rest) == [i * 10 for i in range(12)]
        assert gate.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11]]

    asyncio.run(scenario())


def test_no_more_batches_run_at_once_than_allowed():
    async def scenario():
        gate = Gate()
        two = batcher(gate, in_flight=2)
        futures = []
        for i in range(4):
            futures.append(two.submit(i))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert gate.batches == [[0], [1]]
        gate.open.set()
        await asyncio.gather(*futures)
        assert gate.batches == [[0], [1], [2, 3]]

    asyncio.run(scenario())


def test_a_full_queue_refuses_at_once():
    async def scenario():
        gate = Gate()
        full = batcher(gate, max_queue=2)
        first = full.submit(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = [full.submit(1), full.submit(2)]
        with pytest.raises(OverloadedError):
            full.submit(3)
        gate.open.set()
        assert await asyncio.gather(first, *waiting) == [0, 10, 20]

    asyncio.run(scenario())


def test_a_request_past_its_deadline_is_refused_without_work():
    async def scenario():
        gate = Gate()
        late = batcher(gate, deadline_seconds=0.0)
        first = late.submit(0)
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError):
            await first
        assert gate.batches == []

    asyncio.run(scenario())


def test_an_error_goes_to_every_request_of_its_batch_and_the_next_batch_runs():
    async def scenario():
        async def fail_on_zero(keys):
            if 0 in keys:
                raise ValueError("zero")
            return keys

        one = batcher(fail_on_zero)
        bad = [one.submit(0), one.submit(1)]
        found = await asyncio.gather(*bad, return_exceptions=True)
        assert [type(item) for item in found] == [ValueError, ValueError]
        assert await one.submit(2) == 2

    asyncio.run(scenario())


def test_a_cancelled_request_causes_no_work():
    async def scenario():
        gate = Gate()
        one = batcher(gate)
        first = one.submit(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone, stays = one.submit(1), one.submit(2)
        gone.cancel()
        gate.open.set()
        assert await asyncio.gather(first, stays) == [0, 20]
        assert gate.batches == [[0], [2]]

    asyncio.run(scenario())


def test_weights_fill_batches_and_the_queue():
    async def scenario():
        gate = Gate()
        heavy = batcher(gate, max_batch=4, max_queue=8, weigh=len)
        first = heavy.submit("a")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = [heavy.submit(request) for request in ("bb", "ccccc", "d")]
        with pytest.raises(OverloadedError):
            heavy.submit("e")
        assert len(heavy) == 3
        gate.open.set()
        assert await asyncio.gather(first, *waiting) == ["a" * 10, "b" * 20, "c" * 50, "d" * 10]
        # A request is never split, so the last one of a batch may exceed the limit.
        assert gate.batches == [["a"], ["bb", "ccccc"], ["d"]]
        await heavy.submit("f")

    asyncio.run(scenario())

"""Only bodies and headers that arrive too slowly time out."""

from __future__ import annotations

import asyncio

import pytest

from streamflow.http.problems import ProblemError
from streamflow.http.receiving import BodyReader

SOON = 0.05


def part(body, *, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


async def trickle():
    """An endless body, one byte at a time."""
    await asyncio.sleep(0.001)
    return part(b"x")


async def never():
    await asyncio.Event().wait()


@pytest.mark.parametrize("receive", [trickle, never])
def test_an_endless_body_times_out(receive):
    async def scenario():
        reader = BodyReader(10**9, SOON)
        with pytest.raises(ProblemError) as refused:
            await reader.read(receive)
        assert refused.value.problem.code == "request_timeout"
        # The task is not cancelled beyond that.
        await asyncio.sleep(0)
        assert asyncio.current_task().cancelling() == 0

    asyncio.run(scenario())


def test_every_slow_body_times_out_and_no_other():
    async def scenario():
        reader = BodyReader(10**9, SOON)
        arrive = asyncio.Event()

        async def later():
            await arrive.wait()
            return part(b"whole", more=False)

        slow = [asyncio.ensure_future(reader.read(never)) for _ in range(3)]
        await asyncio.sleep(SOON / 2)
        slow += [asyncio.ensure_future(reader.read(never)) for _ in range(3)]
        found = await asyncio.gather(*slow, return_exceptions=True)
        assert [error.problem.code for error in found] == ["request_timeout"] * 6
        patient = asyncio.ensure_future(BodyReader(10**9, 60.0).read(later))
        quick = asyncio.ensure_future(reader.read(later))
        await asyncio.sleep(0)
        arrive.set()
        assert await asyncio.gather(patient, quick) == [b"whole"] * 2

    asyncio.run(scenario())


def test_a_cancellation_from_outside_is_not_a_timeout():
    async def scenario():
        task = asyncio.ensure_future(BodyReader(10**9, 60.0).read(never))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())

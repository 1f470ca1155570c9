"""Adaptive micro-batching: requests that arrive while a batch is in flight form the next one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from streamflow.predict.observe import stages
from streamflow.predict.observe.stages import Trace

K = TypeVar("K")
R = TypeVar("R")


class Waiter(Protocol):
    """Who waits for a result: a future, or what acts like one. Neither method may raise."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Any) -> None:
        """Take the result."""

    def set_exception(self, error: Any) -> None:
        """Take the exception that there is instead."""


class OverloadedError(Exception):
    """The queue is full, or a request waited past its deadline."""


class Batcher(Generic[K, R]):
    """Collects single requests into batches.

    An idle service adds no delay: if no batch is in flight, a request starts one in the same iteration of the event
    loop. Under load, the requests that arrive while a batch is in flight form the next one.

    Args:
        work: Answers a batch with one result per key, in their order; an exception fails every request of the batch.
        max_batch: Weight at which a batch is full.
        max_queue: Total weight of waiting requests at which another one is refused.
        deadline_seconds: Longest wait before a request is refused instead of started.
        in_flight: Largest number of concurrent batches.
        weigh: Returns the weight of a request; by default each weighs 1.
    """

    def __init__(
        self,
        work: Callable[[Sequence[K]], Awaitable[Sequence[R]]],
        *,
        max_batch: int,
        max_queue: int,
        deadline_seconds: float,
        in_flight: int = 1,
        weigh: Callable[[K], int] | None = None,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._deadline = deadline_seconds
        self._idle = in_flight
        self._weigh = weigh
        self._waiting = 0
        self._queue: deque[tuple[K, Waiter, float, Trace | None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._traced = False

    def __len__(self) -> int:
        """Number of waiting requests."""
        return len(self._queue)

    def submit(self, key: K) -> asyncio.Future[R]:
        """Queue one request and return the future of its result.

        Raises:
            OverloadedError: The queue is full.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.put(key, future)
        return future

    def put(self, key: K, waiter: Waiter) -> None:
        """Queue one request for somebody who waits for its result.

        Raises:
            OverloadedError: The queue is full.
        """
        if self._waiting >= self._max_queue:
            raise OverloadedError
        self._waiting += 1 if self._weigh is None else self._weigh(key)
        trace = stages.of_request()
        if trace is not None:
            self._traced = True
            trace.enqueue()
        self._queue.append((key, waiter, time.monotonic(), trace))
        if self._idle and not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        """Start a batch at the end of this iteration, so that requests that arrived in it share the batch."""
        self._scheduled = True
        task = asyncio.ensure_future(self._answer_waiting())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_waiting(self) -> None:
        """Answer batch after batch as long as requests wait; more than a batch of them start another one beside it."""
        self._scheduled = False
        while self._idle and (batch := self._next()):
            self._idle -= 1
            if self._idle and self._queue and not self._scheduled:
                self._schedule()
            try:
                await self._run(batch)
            finally:
                self._idle += 1

    def _next(self) -> list[tuple[K, Waiter, Trace | None]]:
        oldest = time.monotonic() - self._deadline
        batch: list[tuple[K, Waiter, Trace | None]] = []
        weight = 0
        while self._queue and weight < self._max_batch:
            key, future, since, trace = self._queue.popleft()
            its_weight = 1 if self._weigh is None else self._weigh(key)
            self._waiting -= its_weight
            if future.done():
                continue
            if since < oldest:
                future.set_exception(OverloadedError())
                continue
            if trace is not None:
                trace.dequeue()
            batch.append((key, future, trace))
            weight += its_weight
        return batch

    async def _run(self, batch: list[tuple[K, Waiter, Trace | None]]) -> None:
        if self._traced:
            # This task starts with the context of whatever started it: one of the requests, or the batch before.
            stages.enter_batch([trace for _, _, trace in batch if trace is not None])
        try:
            results = await self._work([key for key, _, _ in batch])
        except Exception as error:
            for _, future, _ in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future, _), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

"""The log of predictions: a sample of the answers, written behind the requests' backs.

A request only appends to a bounded queue; when the queue is full, the answer is not logged and that is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from streamflow import log
from streamflow.predict.features.connections import Connections
from streamflow.predict.observe import metrics
from streamflow.predict.observe.failures import describe
from streamflow.predict.outcome import Outcome
from streamflow.predict.problems import ProblemError
from streamflow.settings import PredictSettings

_LOG = log.get(__name__)
_QUEUE = 20_000
_ROWS = 2_000
_PAUSE_SECONDS = 0.5
_KEEP_EVERY_SECONDS = 6 * 3600.0
_TIMEOUT_SECONDS = 5.0
_INSERT = (
    "INSERT INTO streamflow.predictions (answered_at, request_id, entity, model, version, alias, probability,"
    " prediction, feature_ages, loaded_at) SELECT answered_at, request_id, entity, model, version, alias, probability,"
    " prediction, ages::float8[], loaded_at FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[],"
    " $5::int[], $6::text[], $7::float8[], $8::bool[], $9::text[], $10::timestamptz[]) AS row (answered_at,"
    " request_id, entity, model, version, alias, probability, prediction, ages, loaded_at)"
)
_KEEP = "SELECT streamflow.keep_prediction_log($1)"


class PredictionLog:
    """Takes answers at once, writes them later, in batches, on one of the service's own connections."""

    def __init__(
        self,
        settings: PredictSettings,
        connections: Connections,
        newest: Callable[[], Mapping[str, float]],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._share = settings.log_share
        self._retention_days = settings.log_retention_days
        self._connections = connections
        self._newest = newest
        self._chance = chance
        self._queue: deque[tuple[str, Outcome]] = deque()
        self._kept_at = 0.0
        self._ended = asyncio.Event()

    def offer(self, outcome: Outcome, request_id: str) -> None:
        """Log an answer, by chance; never waits."""
        if not self._share or outcome.probability is None or self._chance() >= self._share:
            return
        if len(self._queue) >= _QUEUE:
            metrics.LOG_DROPPED.inc()
            return
        self._queue.append((request_id, outcome))

    async def run(self) -> None:
        """Write until `end` was called; a database that is away costs log rows, never requests."""
        if not self._share:
            return
        last = False
        while not last:
            await self._rest(_PAUSE_SECONDS)
            last = self._ended.is_set()
            try:
                await self.flush()
            except ProblemError as error:
                _LOG.warning("log of predictions not written", why=error.problem.detail)
                await self._rest(_TIMEOUT_SECONDS)
            except Exception as error:
                _LOG.error("log of predictions not written", **describe(error))
                await self._rest(_TIMEOUT_SECONDS)

    async def end(self, running: asyncio.Task[None], seconds: float = _TIMEOUT_SECONDS) -> None:
        """Let `run` write the rest and end; what is not written by then is dropped and counted.

        Args:
            running: The task of `run`. It is not cancelled while it may still end by itself: nobody could say whether
                the rows it was writing are in the table.
            seconds: How long to wait for it.
        """
        self._ended.set()
        await asyncio.wait((running,), timeout=seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if self._queue:
            _LOG.warning("log of predictions ended", dropped=len(self._queue))
            metrics.LOG_DROPPED.inc(len(self._queue))
            self._queue.clear()

    async def _rest(self, seconds: float) -> None:
        """Sleep, unless it is time to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    async def flush(self) -> None:
        """Write what has gathered.

        Raises:
            ProblemError: the database cannot be written.
        """
        if time.monotonic() - self._kept_at > _KEEP_EVERY_SECONDS or not self._kept_at:
            await self._connections.fetch(_KEEP, self._retention_days, timeout=_TIMEOUT_SECONDS)
            self._kept_at = time.monotonic()
        while self._queue:
            await self._write([self._queue.popleft() for _ in range(min(_ROWS, len(self._queue)))])

    async def _write(self, batch: list[tuple[Any, ...]]) -> None:
        written = False
        try:
            newest = self._newest()
            columns = [list(column) for column in zip(*(_row(item, newest) for item in batch), strict=True)]
            await self._connections.fetch(_INSERT, *columns, timeout=_TIMEOUT_SECONDS)
            written = True
        finally:
            # Whatever ended it, a cancellation too.
            (metrics.LOG_WRITTEN if written else metrics.LOG_DROPPED).inc(len(batch))


def _row(item: tuple[str, Outcome], newest: Mapping[str, float]) -> tuple[Any, ...]:
    request_id, outcome = item
    served, row = outcome.served, outcome.row
    ages = [
        max(newest.get(view, stamp) - stamp, 0.0)
        for view, stamp in zip(served.plan.views, row.stamps, strict=True)
        # What was answered has them all.
        if stamp is not None
    ]
    return (
        # When its values were read, by the clock that dates materializations: both clocks and all that happens
        # between a read and its answer would put some answers on the wrong side of a swap.
        _moment(time.time() if row.read_at is None else row.read_at),
        request_id,
        outcome.key,
        served.release.pointer.name,
        served.release.pointer.version,
        outcome.alias,
        outcome.probability,
        outcome.prediction,
        # One level of arrays more than unnest takes apart, hence as text.
        "{" + ",".join(repr(age) for age in ages) + "}",
        None if row.loaded_at is None else _moment(row.loaded_at),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

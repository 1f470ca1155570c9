"""The prediction log: a sample of the answers, written to PostgreSQL in the background.

A request only appends to a bounded queue. When the queue is full, the answer is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streamflow import log
from streamflow.http.problems import ProblemError
from streamflow.postgres import statements
from streamflow.predict.features.connections import Connections
from streamflow.predict.observe import metrics
from streamflow.predict.outcome import Outcome
from streamflow.settings import PredictSettings

_LOG = log.get(__name__)
_QUEUE = 20_000
_ROWS = 200
"""Rows of one statement. Making them holds requests up, by some 10 µs a row."""
_PAUSE_SECONDS = 0.5
_KEEP_EVERY_SECONDS = 6 * 3600.0
_TIMEOUT_SECONDS = 5.0
_SQL = statements.load(Path(__file__).with_name("queries.sql"))


class PredictionLog:
    """Queues answers and writes them in batches."""

    def __init__(
        self,
        settings: PredictSettings,
        connections: Connections,
        newest: Callable[[], Mapping[str, float]],
        chance: Callable[[], float] = random.random,  # noqa: S311
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
        """Queue an answer with the configured probability; never waits."""
        if not self._share or outcome.probability is None or self._chance() >= self._share:
            return
        if len(self._queue) >= _QUEUE:
            metrics.LOG_DROPPED.inc()
            return
        self._queue.append((request_id, outcome))

    async def run(self) -> None:
        """Write until `end` is called; if the database is down, rows are lost but requests are not delayed."""
        if not self._share:
            return
        last = False
        while not last:
            await self._rest(_PAUSE_SECONDS)
            last = self._ended.is_set()
            try:
                await self.flush()
            except ProblemError as error:
                _LOG.warning("prediction log not written", why=error.problem.detail)
                await self._rest(_TIMEOUT_SECONDS)
            except Exception as error:
                _LOG.error("prediction log not written", **log.describe(error))
                await self._rest(_TIMEOUT_SECONDS)

    async def end(self, running: asyncio.Task[None], seconds: float = _TIMEOUT_SECONDS) -> None:
        """Let `run` write the remaining answers and end; answers that are not written in time are dropped and counted.

        Args:
            running: The task of `run`. It is not cancelled before the time is up, because a cancelled write may or may
                not have reached the table.
            seconds: Longest wait.
        """
        self._ended.set()
        await asyncio.wait((running,), timeout=seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if self._queue:
            _LOG.warning("prediction log ended", dropped=len(self._queue))
            metrics.LOG_DROPPED.inc(len(self._queue))
            self._queue.clear()

    async def _rest(self, seconds: float) -> None:
        """Sleep, or return early when `end` is called."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    async def flush(self) -> None:
        """Write the queued answers.

        Raises:
            ProblemError: The database cannot be written to.
        """
        if time.monotonic() - self._kept_at > _KEEP_EVERY_SECONDS or not self._kept_at:
            await self._connections.fetch(
                _SQL["forget_predictions"], self._retention_days, timeout=_TIMEOUT_SECONDS
            )
            self._kept_at = time.monotonic()
        while self._queue:
            await self._write([self._queue.popleft() for _ in range(min(_ROWS, len(self._queue)))])

    async def _write(self, batch: list[tuple[Any, ...]]) -> None:
        written = False
        try:
            newest = self._newest()
            columns = [list(column) for column in zip(*(_row(item, newest) for item in batch), strict=True)]
            await self._connections.fetch(_SQL["log_predictions"], *columns, timeout=_TIMEOUT_SECONDS)
            written = True
        finally:
            # Counted after a cancellation too.
            (metrics.LOG_WRITTEN if written else metrics.LOG_DROPPED).inc(len(batch))


def _row(item: tuple[str, Outcome], newest: Mapping[str, float]) -> tuple[Any, ...]:
    request_id, outcome = item
    served, row = outcome.served, outcome.row
    ages = [
        max(newest.get(view, stamp) - stamp, 0.0)
        for view, stamp in zip(served.plan.views, row.stamps, strict=True)
        # An answered entity has a row in every view.
        if stamp is not None
    ]
    return (
        # The read time by the database's clock, which also dates materializations. Another clock, or the time of the
        # answer, would put some answers on the wrong side of a materialization.
        _moment(time.time() if row.read_at is None else row.read_at),
        request_id,
        outcome.key,
        served.release.pointer.name,
        served.release.pointer.version,
        outcome.alias,
        outcome.probability,
        outcome.prediction,
        # As text, because unnest would flatten an array of arrays.
        "{" + ",".join(repr(age) for age in ages) + "}",
        None if row.loaded_at is None else _moment(row.loaded_at),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

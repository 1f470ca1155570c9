"""Every answer offered to the log is written or counted as dropped, also at shutdown."""

from __future__ import annotations

import asyncio

import pytest

from streamflow.http.problems import Problem, ProblemError
from streamflow.predict.features.read_plan import FeatureRow
from streamflow.predict.observe import metrics
from streamflow.predict.outcome import Outcome
from streamflow.predict.prediction_log import PredictionLog
from streamflow.settings import PredictSettings


class Table:
    """The log's table; a write blocks until it is released."""

    def __init__(self, error=None):
        self.open = asyncio.Event()
        self.asked = asyncio.Event()
        self.rows = []
        self._error = error

    async def fetch(self, statement, *columns, timeout):
        if not statement.startswith("INSERT"):
            return
        self.asked.set()
        await self.open.wait()
        if self._error:
            raise self._error
        self.rows += columns[2]


@pytest.fixture
def account():
    """Rows written and rows dropped since the test began."""

    def figures():
        return metrics.LOG_WRITTEN._value.get(), metrics.LOG_DROPPED._value.get()

    written, dropped = figures()
    return lambda: (figures()[0] - written, figures()[1] - dropped)


def running(live, table, keys):
    """A log with answers for these keys, and its task."""
    log = PredictionLog(PredictSettings(log_share=1.0), table, dict)
    for key in keys:
        log.offer(Outcome(key, live.served, FeatureRow((1.0,), (0.0,)), 0.5, None), "r")
    return log, asyncio.ensure_future(log.run())


def test_a_write_in_progress_at_shutdown_is_written_once(live, account):
    async def scenario():
        table = Table()
        log, task = running(live, table, ["a", "b"])
        await table.asked.wait()
        log.offer(Outcome("c", live.served, FeatureRow((1.0,), (0.0,)), 0.5, None), "r")
        ending = asyncio.ensure_future(log.end(task, 60.0))
        await asyncio.sleep(0)
        table.open.set()
        await ending
        assert table.rows == ["a", "b", "c"]
        assert account() == (3, 0)

    asyncio.run(scenario())


def test_rows_not_written_before_shutdown_are_counted_as_dropped(live, account):
    async def scenario():
        table = Table()
        log, task = running(live, table, ["a", "b"])
        await table.asked.wait()
        log.offer(Outcome("c", live.served, FeatureRow((1.0,), (0.0,)), 0.5, None), "r")
        await log.end(task, 0.01)
        assert task.done()
        assert account() == (0, 3)

    asyncio.run(scenario())


def test_a_failed_write_is_counted_as_dropped_and_shutdown_does_not_wait_for_a_retry(live, account):
    async def scenario():
        table = Table(ProblemError(Problem("feature_store_unavailable", "away")))
        table.open.set()
        log, task = running(live, table, ["a", "b"])
        await table.asked.wait()
        await asyncio.sleep(0)
        async with asyncio.timeout(4):
            await log.end(task, 60.0)
        assert account() == (0, 2)

    asyncio.run(scenario())

"""Which flow runs are to start again, and which were missed: decided from what Prefect knows of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

_CRASHED = "CRASHED"
_MOST_STARTS = 5
"""A run that crashed so often is left as it is: something about it ends its processes."""
_CRASHED_SECONDS = 86400.0
"""A run that crashed longer ago is left as it is: somebody has seen it."""
_SETTLED_SECONDS = 30.0
"""A run that reached its state less than this ago may still start its process."""


class Run(Protocol):
    """The part of a flow run that says whether it was missed."""

    run_count: int
    auto_scheduled: bool
    expected_start_time: datetime | None


RunT = TypeVar("RunT", bound=Run)


def is_lost(state_type: str, since: datetime, starts: int, now: datetime) -> bool:
    """Whether a run that has no process is to start again. Pure.

    Args:
        state_type: Type of its state: one that has a process, or CRASHED.
        since: When it reached the state.
        starts: How often it was started.
        now: The time.
    """
    ago = now - since
    if state_type == _CRASHED:
        return ago < timedelta(seconds=_CRASHED_SECONDS) and starts < _MOST_STARTS
    return ago > timedelta(seconds=_SETTLED_SECONDS)


def missed(runs: Iterable[RunT], now: datetime) -> list[RunT]:
    """Runs that the schedule made, whose time has passed, and that never began; but for the newest. Pure.

    One that has begun waits to go on, after an approval or the loss of its process.
    """
    passed = [
        (run.expected_start_time, run)
        for run in runs
        if run.auto_scheduled
        and run.run_count == 0
        and run.expected_start_time
        and run.expected_start_time < now
    ]
    return [run for _, run in sorted(passed, key=lambda pair: pair[0])[:-1]]

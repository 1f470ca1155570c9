"""Which flow runs start again, and which were missed."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from streamflow.flows.recovery import is_lost, missed

NOW = datetime(2024, 2, 10, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state_type", "ago", "starts", "lost"),
    [
        ("RUNNING", timedelta(minutes=1), 1, True),
        ("PENDING", timedelta(seconds=10), 0, False),
        ("CANCELLING", timedelta(minutes=1), 1, True),
        ("CRASHED", timedelta(seconds=1), 1, True),
        ("CRASHED", timedelta(seconds=1), 4, True),
        ("CRASHED", timedelta(seconds=1), 5, False),
        ("CRASHED", timedelta(days=2), 1, False),
    ],
)
def test_a_run_without_a_process_starts_again_unless_it_is_new_old_or_hopeless(state_type, ago, starts, lost):
    assert is_lost(state_type, NOW - ago, starts, NOW) is lost


def run(name, days_ago, **changes):
    facts = {"auto_scheduled": True, "run_count": 0, "expected_start_time": NOW - timedelta(days=days_ago)}
    return SimpleNamespace(name=name, **(facts | changes))


def names(*runs):
    return [item.name for item in missed(runs, NOW)]


def test_of_the_missed_runs_the_newest_catches_up():
    assert names(run("yesterday", 1), run("tomorrow", -1), run("oldest", 3), run("older", 2)) == [
        "oldest",
        "older",
    ]
    assert names(run("yesterday", 1)) == []


def test_a_run_that_somebody_asked_for_or_that_has_begun_was_not_missed():
    asked, begun = run("asked", 3, auto_scheduled=False), run("approved", 3, run_count=1)
    assert names(asked, begun, run("older", 2), run("yesterday", 1)) == ["older"]

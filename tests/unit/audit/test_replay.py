"""Which version was on trial as canary at a moment."""

from datetime import UTC, datetime, timedelta

from streamflow.audit.replay import on_trial
from streamflow.registry.trail import Move

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def move(hours, to, alias="canary", action="trial"):
    return Move(NOON + timedelta(hours=hours), "me", alias, None, to, action, "because", {})


def at(hours):
    return NOON + timedelta(hours=hours)


def test_a_trial_counts_from_the_moment_it_was_started_until_it_ends():
    moves = [move(0, 2), move(2, 3), move(4, None, action="end trial")]
    assert on_trial(moves, at(0) - timedelta(seconds=1)) is None
    assert on_trial(moves, at(0)) == moves[0]
    assert on_trial(moves, at(1)) == moves[0]
    assert on_trial(moves, at(2)) == moves[1]
    assert on_trial(moves, at(4)) is None


def test_other_aliases_and_abandoned_moves_put_nothing_on_trial():
    assert on_trial([], NOON) is None
    first = move(0, 2)
    others = [move(1, 3, "challenger"), move(1, 4, "production", "promote"), move(1, 5, action="abandon")]
    assert on_trial([first, *others], at(2)) == first

"""What a rollback goes back to."""

from datetime import UTC, datetime

from streamflow.registry.trail import Move
from streamflow.registry.transitions import awaiting_revert, overtaken, previous


def move(action: str, to: int, came_from: int | None = None) -> Move:
    return Move(datetime(2024, 1, 1, tzinfo=UTC), "me", "production", came_from, to, action, "because", {})


def test_nothing_promoted_means_nothing_to_go_back_to():
    assert previous([], None) is None
    assert previous([move("promote", 1)], 1) is None


def test_a_rollback_undoes_the_last_promotion():
    assert previous([move("promote", 1), move("promote", 2)], 2) == 1


def test_two_rollbacks_undo_two_promotions():
    moves = [move("promote", 1), move("promote", 2), move("promote", 3), move("rollback", 2)]
    assert previous(moves, 2) == 1


def test_a_promotion_after_a_rollback_starts_from_there():
    moves = [move("promote", 1), move("promote", 2), move("rollback", 1), move("promote", 3)]
    assert previous(moves, 3) == 1


def test_promoting_an_old_version_again_is_a_promotion_like_any():
    moves = [move("promote", 1), move("promote", 2), move("promote", 1)]
    assert previous(moves, 1) == 2


def test_the_same_version_promoted_twice_is_one_step():
    assert previous([move("promote", 1), move("promote", 2), move("promote", 2)], 2) == 1


def test_a_version_put_there_past_us_is_undone_like_a_promotion():
    assert previous([move("promote", 1), move("promote", 2)], 7) == 2


def test_after_production_was_unset_what_was_there_last_comes_back():
    moves = [
        move("promote", 1),
        move("promote", 2, 1),
        Move(*_WHEN, "production", 2, None, "outside", "", {}),
    ]
    assert previous(moves, None) == 2
    assert previous([*moves, move("rollback", 2)], 2) == 1


_WHEN = (datetime(2024, 1, 1, tzinfo=UTC), "me")


def trial(alias: str, to: int | None, action: str = "trial") -> Move:
    return Move(*_WHEN, alias, None, to, action, "because", {})


def test_a_trial_is_overtaken_when_its_version_enters_or_leaves_production():
    assert overtaken([trial("canary", 2), move("promote", 2, 1)]) == {"canary": 2}
    assert overtaken([trial("canary", 2), move("rollback", 1, 2)]) == {"canary": 2}
    assert overtaken([trial("canary", 3), move("promote", 2, 1)]) == {}


def test_a_trial_that_began_after_the_move_or_has_ended_is_not_overtaken():
    assert overtaken([move("rollback", 1, 2), trial("canary", 2)]) == {}
    assert overtaken([trial("canary", 2), move("promote", 2, 1), trial("canary", None, "end trial")]) == {}


def test_a_trial_that_failed_to_end_is_still_overtaken():
    cut = trial("canary", 2, "abandon")
    assert overtaken([trial("canary", 2), move("promote", 2, 1), cut]) == {"canary": 2}


def test_an_outside_move_is_to_be_taken_back_until_it_is():
    outside = Move(*_WHEN, "production", 1, 2, "outside", "", {"take_back_to": 1})
    assert awaiting_revert([move("promote", 1), outside, move("abandon", 2, 2)], "production") == outside
    assert awaiting_revert([outside, trial("canary", 3)], "production") == outside
    assert awaiting_revert([outside, move("revert", 1, 2)], "production") is None
    assert awaiting_revert([Move(*_WHEN, "production", 1, 2, "outside", "", {})], "production") is None

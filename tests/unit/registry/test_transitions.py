"""What a rollback goes back to."""

from datetime import UTC, datetime

from streamflow.registry.history import Move
from streamflow.registry.transitions import previous


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

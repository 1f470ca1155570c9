"""Which moves of a version are allowed, and what the trail says of the aliases."""

from datetime import UTC, datetime

import pytest

from streamflow.errors import NotFound, PromotionConflict, Refused
from streamflow.registry.trail import Move
from streamflow.registry.transitions import (
    UNCHECKED,
    check_expected,
    check_step,
    named,
    pause,
    previous,
    recorded,
    rollback_target,
)

_WHEN = (datetime(2024, 1, 1, tzinfo=UTC), "me")


def move(action, to, came_from=None, alias="production", **facts):
    return Move(*_WHEN, alias, came_from, to, action, "because", facts)


def trial(alias, to, action="trial"):
    return move(action, to, alias=alias)


# The version that the caller decided upon.


def test_a_caller_that_expects_nothing_in_particular_is_never_in_conflict():
    check_expected("production", 3, UNCHECKED)
    check_expected("production", None, UNCHECKED)


@pytest.mark.parametrize("current", [3, None])
def test_the_expected_version_is_no_conflict(current):
    check_expected("production", current, current)


@pytest.mark.parametrize(
    ("current", "expected", "message"),
    [
        (3, 2, "'production' points at version 3, not at version 2 as expected: somebody else moved it."),
        (3, None, "'production' points at version 3, not at no version as expected: somebody else moved it."),
        (None, 2, "'production' points at no version, not at version 2 as expected: somebody else moved it."),
    ],
)
def test_another_version_than_expected_is_a_conflict(current, expected, message):
    with pytest.raises(PromotionConflict) as raised:
        check_expected("production", current, expected)
    assert raised.value.what == message
    assert raised.value.hint == "Look at 'streamflow models history', then decide again."


# One step at a time.


def test_a_new_version_goes_to_staging_and_from_there_to_production():
    check_step({"production": None, "staging": None}, 1, "staging")
    check_step({"production": None, "staging": 1}, 1, "production")
    check_step({"production": 1, "staging": 2}, 3, "staging")
    check_step({"production": 1, "staging": 2}, 2, "production")


@pytest.mark.parametrize("alias", ["staging", "production"])
def test_what_is_in_production_goes_nowhere(alias):
    with pytest.raises(Refused) as raised:
        check_step({"production": 2, "staging": None}, 2, alias)
    assert raised.value.what == "Version 2 is in production already."
    assert raised.value.hint == "Nothing was changed."


def test_what_is_at_staging_does_not_go_there_again():
    with pytest.raises(Refused) as raised:
        check_step({"production": 1, "staging": 2}, 2, "staging")
    assert raised.value.what == "Version 2 is at staging already."
    assert raised.value.hint == 'Next: streamflow models promote 2 --to production --why "…"'


@pytest.mark.parametrize("staging", [None, 3])
def test_no_step_is_skipped(staging):
    with pytest.raises(Refused) as raised:
        check_step({"production": 1, "staging": staging}, 2, "production")
    assert raised.value.what == "Version 2 is not at staging; only what is at staging goes to production."
    assert raised.value.hint == 'First: streamflow models promote 2 --to staging --why "…"'


# Where the aliases point according to the trail.


def test_an_empty_trail_has_every_alias_unset():
    assert recorded([]) == {"production": None, "staging": None, "canary": None, "challenger": None}


def test_the_newest_row_of_an_alias_counts():
    moves = [
        move("promote", 1, alias="staging"),
        move("promote", 2, alias="staging"),
        move("promote", 5),
        trial("canary", 3),
        trial("canary", None, "end trial"),
        trial("challenger", 4),
    ]
    assert recorded(moves) == {"production": 5, "staging": 2, "canary": None, "challenger": 4}


def test_a_version_that_reaches_production_leaves_staging():
    assert recorded([move("promote", 1, alias="staging"), move("promote", 1)])["staging"] is None
    assert recorded([move("promote", 2, alias="staging"), move("promote", 1)])["staging"] == 2
    # The canary shares its version with staging, which stays there.
    assert recorded([move("promote", 2, alias="staging"), trial("canary", 2)])["staging"] == 2


# What a rollback goes back to.


def test_nothing_promoted_means_nothing_to_go_back_to():
    assert previous([], None) is None
    assert previous([], 1) is None
    assert previous([move("promote", 1)], 1) is None


def test_a_rollback_undoes_the_last_promotion():
    assert previous([move("promote", 1), move("promote", 2)], 2) == 1


def test_two_rollbacks_undo_two_promotions():
    moves = [move("promote", 1), move("promote", 2), move("promote", 3), move("rollback", 2)]
    assert previous(moves, 2) == 1


def test_a_rollback_over_several_versions_pops_them_all():
    moves = [*(move("promote", version) for version in (1, 2, 3, 4)), move("rollback", 2)]
    assert previous(moves, 2) == 1


def test_a_promotion_after_a_rollback_starts_from_there():
    moves = [move("promote", 1), move("promote", 2), move("rollback", 1), move("promote", 3)]
    assert previous(moves, 3) == 1


def test_promoting_an_old_version_again_is_a_promotion_like_any():
    moves = [move("promote", 1), move("promote", 2), move("promote", 1)]
    assert previous(moves, 1) == 2


def test_a_rollback_to_a_version_that_is_not_on_the_stack_counts_as_a_promotion():
    assert previous([move("promote", 1), move("rollback", 7)], 7) == 1


def test_the_same_version_promoted_twice_is_one_step():
    assert previous([move("promote", 1), move("promote", 2), move("promote", 2)], 2) == 1


def test_a_move_that_was_abandoned_is_no_step():
    assert previous([move("promote", 1), move("abandon", 9), move("promote", 2)], 2) == 1
    assert previous([move("promote", 1), move("promote", 2), move("abandon", 9)], 2) == 1


def test_an_external_change_that_was_reverted_is_no_step():
    moves = [move("promote", 1), move("promote", 2), move("outside", 9), move("revert", 2)]
    assert previous(moves, 2) == 1


def test_an_external_change_is_undone_like_a_promotion():
    assert previous([move("promote", 1), move("promote", 2)], 7) == 2


def test_after_production_was_unset_what_was_there_last_comes_back():
    moves = [move("promote", 1), move("promote", 2, 1), move("outside", None, 2)]
    assert previous(moves, None) == 2
    assert previous([*moves, move("rollback", 2)], 2) == 1
    assert previous([move("promote", version) for version in (1, 2, 3)], None) == 3


def test_a_rollback_goes_to_the_version_before_or_to_the_one_asked_for():
    moves = [move("promote", 1), move("promote", 2), move("promote", 3)]
    assert rollback_target(moves, 3, None) == 2
    assert rollback_target(moves, 3, 1) == 1


def test_without_an_earlier_version_there_is_no_rollback():
    with pytest.raises(NotFound) as raised:
        rollback_target([move("promote", 1)], 1, None)
    assert raised.value.what == "There is no earlier version to roll back to."
    assert raised.value.hint == (
        "See 'streamflow models history'; promote a version with 'streamflow models promote'."
    )


def test_a_rollback_to_what_is_in_production_is_refused():
    with pytest.raises(Refused) as raised:
        rollback_target([move("promote", 1), move("promote", 2)], 2, 2)
    assert raised.value.what == "Version 2 is in production already."
    assert raised.value.hint == "Nothing was changed."


def test_a_rollback_to_what_was_never_in_production_is_refused():
    with pytest.raises(Refused) as raised:
        rollback_target([move("promote", 1), move("promote", 2)], 2, 3)
    assert raised.value.what == "Version 3 was never in production, so there is nothing to roll back to."
    assert raised.value.hint == "Promote it: streamflow models promote 3 --to staging --why …"


def test_a_version_in_words():
    assert named(None) == "no version"
    assert named(4) == "version 4"


def test_an_alias_that_was_unset_for_a_while_does_not_end_the_history():
    assert previous([move("promote", 1), move("demote", None, 1), move("promote", 2)], 2) == 1


# Automatic promotion.


@pytest.mark.parametrize("action", ["rollback", "demote"])
def test_a_rollback_and_a_demotion_pause_automatic_promotion_until_it_is_resumed(action):
    away = move(action, 1, 2)
    assert pause([move("promote", 2), away]) == away
    assert pause([away, move("promote", 3), trial("canary", 2)]) == away
    assert pause([away, move("resume", 3)]) is None
    assert pause([away, move("resume", 3), away]) == away


def test_other_moves_pause_nothing():
    assert pause([]) is None
    assert (
        pause([move("promote", 1), move("outside", 1, 1), move("demote", None, 2, alias="staging")]) is None
    )

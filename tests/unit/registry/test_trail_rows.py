"""What was in production at a time, by the rows of the audit trail; and a change as it is written."""

from datetime import UTC, datetime, timedelta

from streamflow.registry.trail import Change, Move, in_production, uncertain

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def move(hours, to, came_from=None, alias="production", action="promote", **facts):
    return Move(NOON + timedelta(hours=hours), "me", alias, came_from, to, action, "because", facts)


def test_before_the_first_promotion_nothing_was_in_production():
    assert in_production([], NOON) is None
    assert in_production([move(1, 1)], NOON) is None


def test_a_promotion_counts_from_the_moment_it_was_made():
    first, second = move(0, 1), move(2, 2, 1)
    assert in_production([first, second], NOON) == first
    assert in_production([first, second], NOON + 2 * timedelta(hours=1) - SECOND) == first
    assert in_production([first, second], NOON + timedelta(hours=2)) == second


def test_rows_of_other_aliases_and_abandoned_moves_put_nothing_into_production():
    first = move(0, 1)
    others = [move(1, 2, alias="staging"), move(1, 3, alias="canary"), move(1, 4, action="abandon")]
    assert in_production([first, *others], NOON + timedelta(hours=3)) == first
    assert in_production([move(-1, 4, action="abandon"), first], NOON) == first


def test_a_row_that_names_the_same_version_again_does_not_change_since_when_it_is_there():
    first = move(0, 1)
    put_back = move(1, 1, 1, action="outside")
    assert in_production([first, put_back], NOON + timedelta(hours=3)) == first
    again = move(3, 1, 2)
    assert in_production([first, move(2, 2, 1), again], NOON + timedelta(hours=3)) == again


def test_while_production_is_unset_nothing_is_there():
    moves = [move(0, 1), move(1, None, 1, action="outside"), move(2, 1)]
    assert in_production(moves, NOON + timedelta(hours=1)) is None
    assert in_production(moves, NOON + timedelta(hours=2)) == moves[2]


def noticed(alias="production", came_from=1, to=2):
    """An external change that was made after noon and noticed at two o'clock."""
    return move(2, to, came_from, alias, "outside", not_before=NOON.isoformat())


def test_an_external_change_may_have_been_made_before_it_was_noticed():
    change = noticed()
    moves = [move(-1, 1), change]
    assert uncertain(moves, NOON + SECOND) == change
    assert uncertain(moves, NOON + timedelta(hours=2) - SECOND) == change


def test_outside_the_time_in_which_it_was_made_an_external_change_is_certain():
    moves = [move(-1, 1), noticed()]
    assert uncertain(moves, NOON) is None
    assert uncertain(moves, NOON + timedelta(hours=2)) is None


def test_only_an_external_change_of_production_is_uncertain():
    during = NOON + timedelta(hours=1)
    assert uncertain([], during) is None
    assert uncertain([move(2, 2, 1)], during) is None
    assert uncertain([noticed(alias="canary")], during) is None
    # A stage that was put back.
    assert uncertain([noticed(came_from=2)], during) is None


def test_a_change_is_written_with_everything_that_is_known_of_it():
    change = Change(
        alias="production",
        from_version=1,
        to_version=2,
        action="promote",
        by="ada",
        why="better",
        facts={"detected": "the alias"},
        release={"version": 2},
        gate={"verdict": "passed"},
    )
    assert change.parameters("churn") == {
        "model": "churn",
        "alias": "production",
        "from_version": 1,
        "to_version": 2,
        "action": "promote",
        "by": "ada",
        "why": "better",
        "facts": '{"detected": "the alias"}',
        "release": '{"version": 2}',
        "gate": '{"verdict": "passed"}',
    }


def test_what_is_not_known_of_a_change_is_written_as_empty():
    written = Change("canary", None, 1, "trial", "ada", "try it").parameters("churn")
    assert (written["facts"], written["release"], written["gate"]) == ("{}", "{}", "{}")

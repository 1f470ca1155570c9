"""The row that a restore adds to the trail moves nothing, for whoever reads the trail."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.backup.former_trail import FormerTrail, record
from streamflow.registry import actions, chain, describe, trail
from streamflow.registry.alignment import Shown, requests, writes
from streamflow.registry.chain import Link
from streamflow.registry.trail import Move, in_production, lost, uncertain
from streamflow.registry.transitions import pause, previous, recorded, rollback_target, states

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@st.composite
def trails(draw):
    """Trails as promotions, rollbacks, demotions and trials write them."""
    moves, state = [], dict.fromkeys(("staging", "production", "canary", "challenger"))
    for number in range(draw(st.integers(0, 8))):
        action = draw(st.sampled_from(["stage", "promote", "rollback", "demote", "trial", "resume"]))
        alias = {"stage": "staging", "trial": "canary"}.get(action, "production")
        to = draw(st.integers(1, 4))
        if action == "promote":
            to = state["staging"]
        elif action == "demote":
            to = None
        elif action == "resume":
            to = state["production"]
        elif action == "stage" and to == state["production"]:
            continue
        name = "promote" if action == "stage" else action
        moves.append(Move(NOON + number * HOUR, "me", alias, state[alias], to, name, "x", {}, number + 1))
        state = recorded(moves)
    return moves


def restored(moves, **facts):
    """The row that a restore adds to a trail."""
    current = recorded(moves)["production"]
    when = NOON + 10 * HOUR
    return Move(
        when, "me", "production", current, current, actions.RESTORE, "x", facts, len(moves) + 1, hash="f" * 64
    )


@given(trails(), st.integers(-1, 12))
def test_no_reader_of_the_trail_takes_it_for_a_move(moves, hours):
    after = [*moves, restored(moves)]
    current = recorded(moves)["production"]
    assert recorded(after) == recorded(moves)
    assert pause(after) == pause(moves)
    in_line = (
        [move for move in moves if move.alias == "production"],
        [move for move in after if move.alias == "production"],
    )
    assert previous(in_line[1], current) == previous(in_line[0], current)
    for to in (None, 1, 2, 3, 4):
        assert outcome(in_line[1], current, to) == outcome(in_line[0], current, to)
    moment = NOON + hours * HOUR
    assert in_production(after, moment) == in_production(moves, moment)
    assert uncertain(after, moment) == uncertain(moves, moment)
    assert describe.descriptions(after) == describe.descriptions(moves)
    assert lost(after, moment) is None


def outcome(moves, current, to):
    try:
        return rollback_target(moves, current, to)
    except Exception as error:
        return str(error)


@given(trails(), st.data())
def test_mlflow_is_asked_for_nothing_because_of_it(moves, data):
    start = data.draw(st.integers(0, len(moves)))
    targets = recorded(moves)
    shown = Shown(
        {alias: version for alias, version in targets.items() if version is not None},
        {version: data.draw(st.sampled_from(["None", "Production", "Staging"])) for version in range(1, 5)},
    )
    before, after = states(moves, start), states([*moves, restored(moves)], start)
    assert requests(after, shown) == requests(before, shown)
    assert writes(after, shown) == writes(before, shown)


@pytest.mark.parametrize(("hours", "known"), [(0, True), (1, False), (9, False), (10, True)])
def test_of_a_time_whose_rows_were_lost_the_trail_says_so(hours, known):
    first = Move(NOON, "me", "production", None, 1, "promote", "x", {}, 1)
    row = restored([first], lost=[{"row": 2, "hash": "a" * 64, "moved_at": (NOON + HOUR).isoformat()}])
    found = lost([first, row], NOON + hours * HOUR)
    assert found == (None if known else row)


@given(common=st.integers(0, 6), more=st.integers(0, 6), other=st.integers(0, 6))
def test_every_row_that_the_restored_trail_lacks_is_named(common, more, other):
    """The trails have rows in common; then the former one has some, and the restored one may have others."""

    def links(numbers, mark):
        return [Link(number, (), "", f"{mark}{number}") for number in numbers]

    shared = links(range(1, common + 1), "c")
    former = [*shared, *links(range(common + 1, common + more + 1), "f")]
    kept = [*shared, *links(range(common + 1, common + other + 1), "r")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "read", lambda connection: kept)
        patch.setattr(trail, "read", lambda connection, model: [])
        patch.setattr(trail, "append", lambda connection, model, change: change)
        change = record(None, "m", FormerTrail(tuple(former)), {"backup": "2024-03-01"}, "ada")
    named = [(row["row"], row["hash"]) for row in change.facts["lost"]]
    assert named == [(link.number, link.hash) for link in former[common:]]
    assert change.facts["lost_count"] == more
    assert change.facts["former_head"] == (f"{former[-1].number}:{former[-1].hash}" if former else None)
    assert (change.action, change.from_version, change.to_version) == ("restore", None, None)
    assert change.by == "ada"

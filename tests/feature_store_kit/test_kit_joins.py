"""Point-in-time joins of a Feast back end, against rows chosen by plain Python."""

import os
import random
import time
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from kit_backend import FEATURES, KEY, opened
from kit_oracle import NOTHING, Row, frame, joined

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
AT = datetime(
    2024, 3, 31, 1, 30, tzinfo=UTC
)  # in a summer time's first hour, west of Greenwich the day before
KNOWN = datetime(2024, 6, 1, tzinfo=UTC)


def ask(store, view, entities):
    """Values that the store joins to entities (key, time), in the order of the entities."""
    asked = pd.DataFrame(
        {
            KEY: pd.array([key for key, _ in entities], dtype="string"),
            "event_timestamp": pd.to_datetime([at for _, at in entities], utc=True),
            "place": range(len(entities)),
        }
    )
    before = asked.copy(deep=True)
    answer = store.get_historical_features(
        features=[f"{view}:{name}" for name in FEATURES], entity_df=asked
    ).to_arrow()
    pd.testing.assert_frame_equal(asked, before)
    rows = sorted(answer.to_pylist(), key=lambda row: row["place"])
    assert [row["place"] for row in rows] == list(range(len(entities)))
    assert [row[KEY] for row in rows] == [key for key, _ in entities]
    return [tuple(row[name] for name in FEATURES) for row in rows]


def check(backend, folder, rows, entities, ttl=None, known_at=None):
    """Ask the store and the oracle for the same entities."""
    with opened(backend, folder, {"things": frame(rows)}, {"things": ttl}, known_at) as made:
        found = ask(made.store, "things", entities)
    expected = [joined(rows, key, at, ttl, known_at) for key, at in entities]
    assert found == expected
    return expected


def test_both_ends_of_a_ttl_are_included_to_the_microsecond(backend, tmp_path):
    ttl = 41 * DAY
    happened = [AT - ttl - TICK, AT - ttl, AT - ttl + TICK, AT, AT + TICK]
    rows = [Row(f"k{i}", when, KNOWN, number=i) for i, when in enumerate(happened)]
    expected = check(backend, tmp_path, rows, [(f"k{i}", AT) for i in range(5)], ttl)
    assert [values[0] for values in expected] == [None, 1, 2, 3, None]


def test_the_created_timestamp_decides_between_rows_about_the_same_time(backend, tmp_path):
    rows = [
        Row("a", AT - DAY, KNOWN + TICK, number=2),
        Row("a", AT - DAY, KNOWN, number=1),
        # A late correction of an older time is not newer.
        Row("a", AT - 2 * DAY, KNOWN + DAY, number=3),
        Row("b", AT, KNOWN - TICK, number=4),
        Row("b", AT, KNOWN, number=5),
    ]
    expected = check(backend, tmp_path, rows, [("a", AT), ("b", AT), ("b", AT - TICK)])
    assert [values[0] for values in expected] == [2, 5, None]


def test_nulls_are_values_and_no_value_is_rounded(backend, tmp_path):
    rows = [
        Row("a", AT - DAY, KNOWN, 1, 1.5, True, "old"),
        # A newer null hides an older value.
        Row("a", AT, KNOWN, None, None, None, None),
        Row("b", AT, KNOWN, 2**53 + 1, 0.1 + 0.2, False, ""),
        Row("c", AT, KNOWN, -(2**63), 5e-324, True, 'ü "x",\n\\N'),
    ]
    entities = [(key, AT) for key in "abcd"]
    expected = check(backend, tmp_path, rows, entities, 41 * DAY)
    assert expected[0] == expected[3] == NOTHING


def test_rows_that_were_not_known_yet_are_not_seen(backend, tmp_path):
    rows = [
        Row("a", AT, KNOWN, number=1),
        Row("a", AT, KNOWN + TICK, number=2),
        Row("b", AT - DAY, KNOWN - DAY, number=3),
        # Learnt long after its time, and before the known-at: late rows count.
        Row("b", AT, KNOWN, number=4),
        Row("c", AT, KNOWN + TICK, number=5),
    ]
    expected = check(backend, tmp_path, rows, [(key, AT) for key in "abc"], 41 * DAY, KNOWN)
    assert [values[0] for values in expected] == [1, 4, None]


def test_each_entity_row_is_answered_at_its_own_time(backend, tmp_path):
    rows = [Row(key, AT + n * DAY, KNOWN, number=n) for key in "ab" for n in range(4)]
    entities = [("b", AT + 2 * DAY), ("a", AT), ("a", AT + 9 * DAY), ("a", AT), ("b", AT - DAY)]
    check(backend, tmp_path, rows, entities, 2 * DAY)


@pytest.fixture
def west(monkeypatch):
    """A machine whose time zone is west of Greenwich."""
    monkeypatch.setitem(os.environ, "TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("west")
def test_the_time_zone_of_the_machine_changes_nothing(backend, tmp_path):
    rows = [Row("a", AT, KNOWN, number=1), Row("a", AT - DAY, KNOWN, number=2)]
    expected = check(backend, tmp_path, rows, [("a", AT), ("a", AT - TICK)], DAY)
    assert [values[0] for values in expected] == [1, 2]


def test_no_value_of_many_is_lost(backend, tmp_path):
    """One back end lost all values of a join above the size up to which it broadcasts a table."""
    many = 3_000
    rows = [Row(f"k{i}", AT, KNOWN, i, i / 7, i % 2 == 0, "x" * 20) for i in range(many)]
    with opened(backend, tmp_path, {"things": frame(rows)}, {"things": 41 * DAY}) as made:
        found = ask(made.store, "things", [(row.key, AT + TICK) for row in rows])
    assert found == [row.values for row in rows]


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_with_corrections(seed, backend, tmp_path):
    chance = random.Random(seed)
    keys = [f"k{i}" for i in range(12)]
    stamps = set()
    while len(stamps) < 150:
        happened = AT + chance.randrange(-60, 60) * DAY
        stamps.add((chance.choice(keys), happened, happened + chance.randrange(-5, 90) * DAY))
    rows = [
        Row(
            *stamp,
            *(
                chance.choice(values)
                for values in ([None, 0, 7], [None, 0.5], [None, True, False], ["", "y"])
            ),
        )
        for stamp in sorted(stamps)
    ]
    chance.shuffle(rows)
    entities = [
        (
            chance.choice([*keys, "nobody"]),
            AT + chance.randrange(-70, 70) * DAY + chance.choice([-1, 0, 1]) * TICK,
        )
        for _ in range(60)
    ]
    check(backend, tmp_path, rows, entities, chance.choice([None, 20 * DAY]), AT + 30 * DAY)

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.cli.output import column_widths, print_json, print_table

WORD = st.text("abcXYZ019_-. ", min_size=1, max_size=30)
SOME = [HealthCheck.function_scoped_fixture]


@settings(suppress_health_check=SOME, max_examples=50)
@given(
    rows=st.lists(st.tuples(WORD, st.integers(0, 10**9), WORD | st.none()), min_size=1, max_size=4),
    width=st.integers(30, 120),
)
def test_no_character_of_a_table_is_lost_and_no_line_is_too_long(capsys, monkeypatch, rows, width):
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(("name", "count", "note"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    shown, wanted = sorted("".join(lines[2:])), sorted("".join(f"{a}{b}{c or ''}" for a, b, c in rows))
    assert [c for c in shown if c.strip()] == [c for c in wanted if c.strip()]


@settings(suppress_health_check=SOME, max_examples=50)
@given(
    columns=st.lists(st.lists(WORD, min_size=2, max_size=2), min_size=1, max_size=5),
    room=st.integers(20, 120),
)
def test_columns_fill_the_room_and_keep_every_word(columns, room):
    widths = column_widths(columns, room)
    if widths[0] is None:
        return
    assert sum(widths) + 2 * len(columns) <= room
    for width, texts in zip(widths, columns, strict=True):
        assert width <= max(map(len, texts))
        assert all(len(word) <= width for text in texts for word in text.split())


def test_words_are_broken_only_where_there_is_no_room(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("estimator", "when"), [("logistic_regression", "2024-01-31 10:20:30")])
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["logistic_regression", "2024-01-31"],
        ["10:20:30"],
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "yes"), (False, "no"), (0.123456, "0.1235"), (7043, "7,043"), ("[x]", "[x]")],
)
def test_values_are_shown_as_people_read_them(capsys, value, shown):
    print_table(("a", "b"), [("x", value)], grouped=True)
    assert capsys.readouterr().out.splitlines()[-1].split() == ["x", *([shown] if shown else [])]


@dataclass(frozen=True)
class Thing:
    when: datetime
    day: date
    where: Path


def test_json_has_iso_dates_and_plain_paths(capsys):
    print_json({"thing": Thing(datetime(2024, 1, 31, tzinfo=UTC), date(2024, 1, 31), Path("/x"))})
    assert json.loads(capsys.readouterr().out) == {
        "thing": {"when": "2024-01-31T00:00:00+00:00", "day": "2024-01-31", "where": "/x"}
    }

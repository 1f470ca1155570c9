"""Materializations of a Feast back end: the newest values arrive, older ones replace nothing, and a failure is loud."""

from datetime import UTC, datetime, timedelta

import pytest
from kit_backend import opened
from kit_oracle import Row, frame, online

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
AT = datetime(2024, 3, 31, tzinfo=UTC)
KNOWN = datetime(2024, 6, 1, tzinfo=UTC)
TTL = 41 * DAY


def values(made, view, rows):
    return made.online(view, sorted({row.key for row in rows}))


def expected(writes, rows):
    return {key: online(writes, key) for key in sorted({row.key for row in rows})}


def test_the_newest_rows_of_a_window_arrive_and_older_ones_replace_nothing(backend, tmp_path):
    """Every row is years older than its ttl by the clock on the wall, which has no say in this."""
    rows = [
        Row("a", AT - DAY, KNOWN, 1, 0.5, True, "old"),
        Row("a", AT, KNOWN, 2, 0.1 + 0.2, False, ""),
        Row("a", AT + TICK, KNOWN, 3, 1.5, True, "after the window"),
        Row("b", AT - DAY, KNOWN, 2**53 + 1, 0.25, None, "kept"),
        Row("c", AT, KNOWN, 4, 4.0, True, "first"),
        # Of two rows about the same time, the one that was created last.
        Row("c", AT, KNOWN + TICK, None, None, None, None),
        Row("d", AT - 60 * DAY, KNOWN, 5, 5.0, False, "before the window"),
    ]
    windows = [(AT - TTL, AT), (AT - TTL - DAY, AT - DAY)]
    with opened(backend, tmp_path, {"things": frame(rows)}, {"things": TTL}) as made:
        for number, (start, end) in enumerate(windows, 1):
            made.store.materialize(start, end)
            writes = [(rows, *window) for window in windows[:number]]
            assert values(made, "things", rows) == expected(writes, rows)
        assert made.watermark("things") == AT


def test_a_write_that_fails_raises_and_neither_values_nor_watermarks_move(backend, tmp_path):
    rows = [Row("a", AT - DAY, KNOWN, 1, 1.0, True, "old"), Row("a", AT, KNOWN, 2, 2.0, False, "new")]
    tables = {name: frame(rows) for name in ("firsts", "seconds")}
    with opened(backend, tmp_path, tables, dict.fromkeys(tables, TTL)) as made:
        made.store.materialize(AT - TTL, AT - DAY)
        before = {view: (values(made, view, rows), made.watermark(view)) for view in tables}
        assert before["seconds"] == ({"a": (1, 1.0, True, "old")}, AT - DAY)
        with made.failing_writes("seconds"), pytest.raises(Exception, match=r"\S"):
            made.store.materialize(AT - TTL, AT)
        # The value that its column refused is not compared: `failing_writes` may have replaced the column.
        assert made.watermark("seconds") == AT - DAY
        assert values(made, "seconds", rows)["a"][:3] == before["seconds"][0]["a"][:3]
        # And once writes succeed again, nothing is left out.
        made.store.materialize(AT - TTL, AT)
        assert values(made, "seconds", rows) == {"a": (2, 2.0, False, "new")}
        assert made.watermark("seconds") == AT

import math
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamflow.drops import parse

TYPES = ("int", "float", "bool", "string", "date")
LOOKALIKES = st.one_of(
    st.text(max_size=12).filter(bool),
    st.from_regex(r"\A[+-]?[0-9]{1,25}(\.[0-9]{0,3})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"),
    st.sampled_from(
        [*parse.TRUE, *parse.FALSE, "NaN", "inf", "0x1F", "1_000", " 1", "1 ", "=cmd()", "1,5", "١"]
    ),
)


def cell(kind: str, text: str) -> object:
    """Parse one cell to its value or error, with the slow parser."""
    value, error = parse.cell(kind, text)
    return value if error is None else error


@given(st.sampled_from(TYPES), st.lists(st.none() | LOOKALIKES, max_size=20))
@example("int", ["0x1F"])
@example("float", ["nan", "1"])
@example("float", [" 1.5"])
@example("date", ["2024-02-30"])
@example("date", ["9999-12-31"])
@example("int", [None, None])
def test_a_column_is_parsed_like_its_cells(kind, texts):
    values, bad = parse.column(kind, pa.array(texts, pa.string()))
    assert values.type == parse.ARROW_TYPES[kind]
    for at, (text, value) in enumerate(zip(texts, values.to_pylist(), strict=True)):
        if text is None:
            assert value is None and at not in bad
        elif at in bad:
            assert value is None and cell(kind, text) == bad[at]
        else:
            assert value == cell(kind, text)


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_come_back(value):
    assert cell("int", str(value)) == value
    assert cell("int", f"{value}.0") == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_to_the_last_bit(value):
    (back,) = parse.column("float", pa.array([repr(value)]))[0].to_pylist()
    assert (back, math.copysign(1, back)) == (value, math.copysign(1, value))


@given(st.dates(date(1678, 1, 1), date(2261, 12, 31)))
def test_dates_come_back(value):
    assert cell("date", value.isoformat()) == value


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("int", "1e3", "is not a whole number"),
        ("int", "1.5", "is not a whole number"),
        ("int", "1" + "0" * 30, "is a whole number beyond 64 bits"),
        ("int", "-" + "9" * 5000, "is a whole number beyond 64 bits"),
        ("float", "NaN", "is not a finite number"),
        ("float", "-Infinity", "is not a finite number"),
        ("float", "1e999", "is not a finite number"),
        ("float", "1,5", "is not a number"),
        ("bool", "yes", "is neither True nor False"),
        ("date", "2024-02-30", "is a date that does not exist"),
        ("date", "31.01.2024", "is not a date like 2024-01-31"),
        ("date", "9999-12-31", "is not between 1678-01-01 and 2261-12-31"),
    ],
)
def test_a_bad_cell_says_why(kind, text, reason):
    assert cell(kind, text) == reason
    values, bad = parse.column(kind, pa.array([text, None]))
    assert values.to_pylist() == [None, None] and bad == {0: reason}

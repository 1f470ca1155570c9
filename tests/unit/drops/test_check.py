from datetime import date

import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.drops import limits
from streamflow.drops.check import RowChecker, header_order, in_words
from streamflow.drops.raw_file import FileError
from streamflow.drops.read import Chunk
from streamflow.repo.declarations import source_table

TABLE = source_table(
    pa.DataFrameSchema(
        {
            "key": pa.Column("string", pa.Check.str_matches(r"^[a-z]+\Z"), nullable=False),
            "count": pa.Column("Int64", pa.Check.in_range(0, 9), nullable=True),
            "share": pa.Column("Float64", [pa.Check.ge(0), pa.Check.lt(1)], nullable=True),
            "flag": pa.Column("boolean", nullable=False),
            "kind": pa.Column("string", pa.Check.isin(["a", "b"]), nullable=True),
            "day": pa.Column("datetime64[ns]", nullable=True, metadata={"not_after_as_of": True}),
        },
        name="things",
        unique=["key"],
        strict=True,
        metadata={"snapshots": "things_snapshots"},
    )
)
AS_OF = date(2024, 1, 31)
GOOD = ["k", "3", "0.5", "True", "a", "2024-01-31"]
BAD_CELLS = {
    "key": [("", "is empty"), ("K 1", "does not match the pattern ^[a-z]+\\Z"), ("=x", "does not match")],
    "count": [("10", "is not between 0 and 9"), ("x", "is not a whole number"), ("-1", "is not between")],
    "share": [("-0.1", "is not at least 0"), ("1", "is not below 1"), ("nan", "is not a finite number")],
    "flag": [("", "is empty"), ("maybe", "is neither True nor False")],
    "kind": [("c", "is none of a, b")],
    "day": [("2024-02-01", "lies after the drop's as-of, 2024-01-31"), ("2024-02-30", "does not exist")],
}
NAMES = list(TABLE.column_names)
ROWS = st.lists(
    st.one_of(
        st.just(GOOD),
        st.lists(st.text(max_size=4), max_size=8),
        st.none(),
        st.tuples(
            *(
                st.sampled_from([good, "", *(bad for bad, _ in BAD_CELLS[name])])
                for name, good in zip(NAMES, GOOD, strict=True)
            )
        ).map(list),
    ),
    max_size=15,
)


def chunk(rows):
    lines = list(range(2, 2 + len(rows)))
    return Chunk(rows, lines, lines, [",".join(row or ["?"]) + "\n" for row in rows])


def check(rows, order=None):
    return RowChecker(TABLE, order or range(len(NAMES)), AS_OF).check(chunk(rows))


@given(ROWS)
def test_every_record_is_accepted_or_rejected_once(rows):
    checked = check(rows)
    lines = [*checked.accepted["line"].to_pylist(), *(item.line for item in checked.rejected)]
    assert sorted(lines) == list(range(2, 2 + len(rows)))


@given(ROWS)
def test_what_a_record_becomes_does_not_depend_on_its_neighbours(rows):
    together = {item.line: item.reason for item in check(rows).rejected}
    for at, row in enumerate(rows):
        alone = [item.reason for item in check([row]).rejected]
        assert alone == ([together[at + 2]] if at + 2 in together else [])


@pytest.mark.parametrize(
    ("column", "value", "reason"), [(c, v, r) for c, cells in BAD_CELLS.items() for v, r in cells]
)
def test_a_bad_cell_is_found_with_line_column_value_and_reason(column, value, reason):
    bad = [value if name == column else good for name, good in zip(NAMES, GOOD, strict=True)]
    checked = check([GOOD, bad, GOOD])
    (item,) = checked.rejected
    assert (item.line, item.column, item.value, item.raw) == (3, column, value, ",".join(bad))
    assert reason in item.reason
    assert checked.accepted["line"].to_pylist() == [2, 4]


def test_all_bad_cells_of_a_record_are_named_in_one_reason():
    (item,) = check([["k", "x", "2", "True", "c", ""]]).rejected
    assert (item.column, item.value) == ("count", "x")
    assert item.reason == "is not a whole number; share is not below 1; kind is none of a, b"


def test_good_rows_have_the_declared_types_and_order():
    checked = check([GOOD[::-1], ["", "b", "", "", "", ""][::-1]], order=[5, 4, 3, 2, 1, 0])
    assert checked.accepted.to_pylist() == [
        {"line": 2, "key": "k", "count": 3, "share": 0.5, "flag": True, "kind": "a", "day": AS_OF}
    ]
    assert [item.column for item in checked.rejected] == ["key"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (["k"], "has 1 field(s) instead of 6"),
        ([], "the line is empty"),
        (None, "quoting of this record is broken"),
    ],
)
def test_a_misshapen_record_is_rejected_as_a_whole(fields, reason):
    (item,) = check([fields]).rejected
    assert item.column is None and item.value is None and reason in item.reason


def test_columns_may_stand_in_any_order_and_case():
    order, notes = header_order(TABLE, ["DAY", "kind", "flag", "share", "count", "Key"])
    assert order == [5, 4, 3, 2, 1, 0]
    assert notes == ["column 'Key' was read as 'key'", "column 'DAY' was read as 'day'"]


@pytest.mark.parametrize("row", [["0002-PERSON", "1.25"], ["0002-PERSON", "day", "1.25", "x", "y", "z"]])
def test_a_row_in_place_of_the_header_is_not_quoted(row):
    with pytest.raises(FileError, match="is the header missing") as caught:
        header_order(TABLE, row)
    assert "PERSON" not in str(caught.value) and "1.25" not in str(caught.value)


def test_all_wrong_columns_are_named_at_once():
    with pytest.raises(FileError) as caught:
        header_order(TABLE, ["key", "count", "Count", "colour", "", "day"])
    assert str(caught.value) == (
        "lacks the column(s) share, flag, kind; has the unknown column(s) colour, (no name);"
        " has the column(s) Count, count more than once (expected: key, count, share, flag, kind, day)."
    )


def test_many_unknown_columns_are_counted_and_long_names_cut():
    names = [*TABLE.column_names] + [f"{number}{'x' * 200}\x1b[2J" for number in range(limits.COLUMNS)]
    with pytest.raises(FileError) as caught:
        header_order(TABLE, names)
    assert "xxx…, 1x" in str(caught.value) and " and 1,580 more (expected: key" in str(caught.value)
    assert len(str(caught.value)) < (limits.SHOWN_NAMES + 5) * (limits.SHOWN_CHARACTERS + 2)


def test_a_check_of_ones_own_speaks_for_itself():
    assert (
        in_words(pa.Check(lambda values: values > 0, error="must be even")) == "fails the check must be even"
    )


def test_a_date_that_may_lie_after_the_as_of_is_accepted():
    columns = {
        "key": pa.Column("string", nullable=False),
        "until": pa.Column("datetime64[ns]", nullable=True),
    }
    metadata = {"snapshots": "terms_snapshots"}
    schema = pa.DataFrameSchema(columns, name="terms", unique=["key"], strict=True, metadata=metadata)
    rows = [["k", "2034-12-31"], ["l", "2034-12-32"]]
    checked = RowChecker(source_table(schema), range(2), AS_OF).check(chunk(rows))
    assert checked.accepted["until"].to_pylist() == [date(2034, 12, 31)]
    assert [item.line for item in checked.rejected] == [3]

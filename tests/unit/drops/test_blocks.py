"""Plain blocks, which are parsed and checked as columns, give what the CSV reader and pandera give row by row."""

import hashlib
from datetime import date

import pandera.pandas as pa
import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaWarning

from streamflow.drops import limits
from streamflow.drops.blocks import is_plain
from streamflow.drops.check import RowChecker, header_order
from streamflow.drops.key_sequence import KeySequence
from streamflow.drops.raw_file import BLOCK, FileError
from streamflow.drops.read import CsvReader, raw_records
from streamflow.repo.declarations import source_table

AS_OF = date(2024, 1, 31)
COLUMNS = {
    "key": pa.Column("string", pa.Check.str_matches(r"^[A-Za-z0-9_-]{1,6}\Z"), nullable=False),
    "count": pa.Column("Int64", pa.Check.in_range(0, 900), nullable=True),
    "share": pa.Column("Float64", [pa.Check.ge(0), pa.Check.lt(1e9)], nullable=True),
    "ratio": pa.Column("Float64", nullable=True),
    "flag": pa.Column("boolean", nullable=False),
    "kind": pa.Column("string", pa.Check.isin(["a", "One year", "é"]), nullable=True),
    "day": pa.Column(
        "datetime64[ns]", pa.Check.ge("1990-01-01"), nullable=True, metadata={"not_after_as_of": True}
    ),
}
NAMES = list(COLUMNS)
CELLS = {
    "key": (["k", "B-7", "z_9"], ["", "K 1", "\u00e9", " k", "0x1", "abcdefg", "-", "\ufeffk"]),
    "count": (
        ["0", "900", "07", "-0", ""],
        ["901", "-1", "+4", "12.0", "0x1F", "0X1", " 1", "1 ", "1e2", "9223372036854775808", "1_0", "\u0661"],
    ),
    "share": (
        ["0.5", "0", "1e-3", ".5", "5.", ""],
        ["-0.1", "nan", "inf", "1e999", "1e-400", "+1", "1e", "0x1p3", "1e9", "\t1", "1,5"],
    ),
    "ratio": (["-1.5", "36.51436986437612", ""], ["NaN", "-1e999", "-.5", "+.5", "1.7976931348623159e308"]),
    "flag": (["True", "f", "1", "FALSE"], ["", "tRUE", "yes", "True ", "01"]),
    "kind": (["a", "One year", "\u00e9", ""], ["c", " ", "One year ", '"a"', '"One year', '""', 'a"', "\\."]),
    "day": (
        ["2024-01-31", "1990-01-01", ""],
        ["2024-02-01", "1989-12-31", "2023-02-30", "1677-01-01", "24-1-1"],
    ),
}
GOOD = [good[0] for good, _ in CELLS.values()]


def declared(columns=COLUMNS):
    return source_table(
        pa.DataFrameSchema(columns, name="things", strict=True, metadata={"snapshots": "things_snapshots"})
    )


TABLE = declared()
NARROW = declared({"key": COLUMNS["key"]})


@st.composite
def lines(draw, table):
    """A line of a file: mostly good cells, some bad ones, sometimes other bytes, and any line ending."""
    kind = draw(st.sampled_from(["good"] * 6 + ["bad"] * 2 + ["text"]))
    if kind == "text":
        text = draw(st.text(alphabet='ab1,"\n\r \\\ufeff', max_size=12) | st.just(",".join([*GOOD, "x"])))
    else:
        row = [draw(st.sampled_from(CELLS[name][0])) for name in table.column_names]
        if kind == "bad":
            # One at a time: several in a block hide that one of them is not noticed.
            at = draw(st.integers(0, len(row) - 1))
            row[at] = draw(st.sampled_from(CELLS[NAMES[at]][1]))
        text = ",".join(row)
    return text + draw(st.sampled_from(["\n"] * 6 + ["\r\n", "\r\n", "\r", "\n\n"]))


@st.composite
def files(draw):
    table = draw(st.sampled_from([TABLE, TABLE, TABLE, NARROW]))
    header = ",".join(table.column_names) + "\n"
    content = (header + "".join(draw(st.lists(lines(table), max_size=25)))).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=2)) + content[at:]
    return table, (b"\xef\xbb\xbf" if draw(st.booleans()) else b"") + content


def outcome(path, table, block, rows, *, columns):
    """What comes of a file, read as columns or row by row: its rows and rejected records, or its refusal."""
    accepted, rejected, whole = [], [], 0
    try:
        with CsvReader(path, block=block) as reader:
            order, notes = header_order(table, reader.header())
            checker = RowChecker(table, order, AS_OF)
            slow = (checker.check(chunk) for chunk in reader.chunks(rows))
            for checked in checker.checked(reader, rows) if columns else slow:
                accepted.append(checked.accepted)
                rejected += checked.rejected
                whole += checked.whole is not None
            facts = (notes, reader.sha256, reader.bytes_read)
    except FileError as error:
        return str(error), 0
    rows_of = pyarrow.concat_tables(accepted).combine_chunks() if accepted else None
    return (rows_of, rejected, facts), whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(file=files(), block=st.integers(1, 120) | st.just(BLOCK), rows=st.integers(3, 40))
@example((TABLE, b"".join(b",".join(row) + b"\n" for row in [[n.encode() for n in NAMES]] * 2)), 1, 3)
@example((NARROW, b'key\na\n"b\nc"\nd\n'), 1, 9)
def test_columns_give_what_rows_give_wherever_blocks_end(tmp_path, file, block, rows):
    table, content = file
    path = tmp_path / "things.csv"
    path.write_bytes(content)
    expected, _ = outcome(path, table, block, rows, columns=False)
    assert outcome(path, table, block, rows, columns=True)[0] == expected
    # Where a block ends makes no difference but to which of several reasons a file is refused for.
    whole, _ = outcome(path, table, BLOCK, rows, columns=False)
    assert whole == expected or (isinstance(whole, str) and isinstance(expected, str))


@pytest.mark.parametrize("name", NAMES)
def test_each_unusual_cell_alone_gives_what_the_row_gives(tmp_path, name):
    path, at = tmp_path / "things.csv", NAMES.index(name)
    for cell in [*CELLS[name][0], *CELLS[name][1]]:
        unusual = [*GOOD[:at], cell, *GOOD[at + 1 :]]
        rows = "".join(",".join(row) + "\n" for row in [NAMES, GOOD, unusual, GOOD])
        path.write_text(rows, encoding="utf-8")
        # In a block of one line, a byte order mark would be the first of a block.
        for block in (1, BLOCK) if name == "key" else (BLOCK,):
            expected, _ = outcome(path, TABLE, block, 10, columns=False)
            assert outcome(path, TABLE, block, 10, columns=True)[0] == expected


def test_a_table_of_one_column_has_empty_lines_and_no_nulls(tmp_path):
    path = tmp_path / "things.csv"
    for text in ("key\n\na\n", "key\na\n\nb\n", "key\na\r\n\r\nb\n", "key\n\n"):
        path.write_text(text, encoding="utf-8", newline="")
        expected, _ = outcome(path, NARROW, BLOCK, 10, columns=False)
        assert outcome(path, NARROW, BLOCK, 10, columns=True)[0] == expected


def test_a_line_that_pandera_accepts_after_all_keeps_its_place(tmp_path):
    path = tmp_path / "things.csv"
    warned = pa.Column("Int64", pa.Check.in_range(0, 1, raise_warning=True), nullable=True)
    table = declared({"key": COLUMNS["key"], "count": warned})
    path.write_text("key,count\na,1\nb,2\nc,x\nd,1\n", encoding="utf-8")
    with pytest.warns(SchemaWarning):
        expected, _ = outcome(path, table, BLOCK, 10, columns=False)
    assert expected[0]["line"].to_pylist() == [2, 3, 5]
    with pytest.warns(SchemaWarning):
        assert outcome(path, table, BLOCK, 10, columns=True)[0] == expected


def test_good_lines_are_taken_as_a_whole_block_and_own_checks_row_by_row(tmp_path):
    path = tmp_path / "things.csv"
    path.write_text("".join(",".join(row) + "\n" for row in [NAMES, GOOD, GOOD]), encoding="utf-8")
    assert outcome(path, TABLE, BLOCK, 10, columns=True)[1] == 1
    own = pa.Column("Int64", pa.Check(lambda values: values < 1, name="none"), nullable=True)
    table = declared({**COLUMNS, "count": own})
    assert outcome(path, table, BLOCK, 10, columns=True)[1] == 0


@pytest.mark.parametrize(
    "check",
    [
        pa.Check.in_range(0, 0.5),
        pa.Check.in_range(0, 2**60),
        pa.Check.isin([1, 2]),
        pa.Check.ge(0, ignore_na=False),
        pa.Check.ne(7),
    ],
)
def test_a_check_that_arrow_might_take_otherwise_is_left_to_pandera(check):
    table = declared({**COLUMNS, "count": pa.Column("Int64", check, nullable=True)})
    assert RowChecker(table, range(len(NAMES)), AS_OF)._conditions is None


@pytest.mark.parametrize("pattern", [r"\d+", "a|b", "a$", "^a++", "a{,3}", "[^a]", "(?i)a", r"a\Zb"])
def test_a_pattern_that_re2_might_read_otherwise_is_left_to_pandera(pattern):
    key = pa.Column("string", pa.Check.str_matches(pattern), nullable=False)
    assert RowChecker(declared({"key": key}), range(1), AS_OF)._conditions is None


@pytest.mark.parametrize(
    ("block", "plain"),
    [
        (b"a,b\n", True),
        (b"a,b\r\nc,d\n", True),
        (b'a,"b"\n', False),
        (b"a,b\r", False),
        (b"a\rb\r\n", False),
        (b"a,b", False),
        (b"\xef\xbb\xbfa,b\n", False),
        (b"x" * (limits.FIELD_CHARACTERS + 1) + b"\n", False),
    ],
)
def test_a_block_is_plain_if_each_line_is_a_record_without_quotes(block, plain):
    assert is_plain(block) is plain


@given(lines_of=st.sets(st.integers(2, 7)), rows=st.integers(1, 9), block=st.integers(1, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_the_text_of_chosen_records_is_found_again_in_blocks(tmp_path, lines_of, rows, block):
    path = tmp_path / "things.csv"
    lines_there = ["key,count", "a,1", "b,2\r", "c,3", '"d",4', "e,5", ""]
    path.write_bytes("".join(f"{line}\n" for line in lines_there).encode())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = list(raw_records(path, path.stat().st_size, digest, lines_of, rows))
    assert found == [(line, lines_there[line - 1].rstrip("\r")) for line in sorted(lines_of)]


@given(st.lists(st.text(max_size=3), max_size=8), st.integers(0, 8))
def test_a_sequence_of_keys_has_one_digest_however_it_is_cut(keys, cut):
    def digest(*parts):
        sequence = KeySequence()
        for part in parts:
            sequence.add(pyarrow.chunked_array([pyarrow.array(part, pyarrow.string())]))
        return sequence.digest()

    assert digest(keys) == digest(keys[:cut], keys[cut:])
    assert digest(keys) != digest([*keys, ""])
    if keys[::-1] != keys:
        assert digest(keys) != digest(keys[::-1])
    assert digest(["ab", "c"]) != digest(["a", "bc"])

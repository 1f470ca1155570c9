"""The fingerprint names the multiset of typed values, whatever the order of the rows."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamflow.model_version import fingerprint as module
from streamflow.model_version.fingerprint import encode_value, fingerprint, fingerprint_of_rows

COLUMNS = [("user_id", "string"), ("a", "int"), ("b", "float"), ("c", "bool")]
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
rows = st.lists(st.tuples(values, values, values, values), max_size=20)

INT64 = st.integers(-(2**63), 2**63 - 1)
TYPES = {
    "text": (pa.string(), st.text()),
    "large": (pa.large_string(), st.text()),
    "category": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["", "ü", "😀", "a:b"])),
    "int": (pa.int64(), INT64),
    "short": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "float": (pa.float64(), st.floats()),
    "single": (pa.float32(), st.floats(width=32)),
    "bool": (pa.bool_(), st.booleans()),
    "nothing": (pa.null(), st.none()),
    "list": (pa.list_(pa.int64()), st.lists(INT64, max_size=2)),
}
NAMED = [(name, "string") for name in TYPES]
typed = st.lists(st.tuples(*(st.none() | values for _, values in TYPES.values())), max_size=12)


def table_of(rows):
    columns = list(zip(*rows, strict=True)) or [()] * len(TYPES)
    return pa.table(
        {
            name: pa.array(list(values), kind)
            for (name, (kind, _)), values in zip(TYPES.items(), columns, strict=True)
        }
    )


@given(typed, st.integers(1, 5))
@example([("", "", "", 0, 0, -0.0, -0.0, False, None, [])], 1)
@example([("\U0010ffff" * 99, None, None, -(2**63), None, 5e-324, None, None, None, None)] * 3, 2)
@example([(None, None, None, None, None, float("nan"), float("-inf"), True, None, None)], 2)
def test_columns_give_what_rows_give(rows, chunk_rows):
    """Whatever the types, and wherever the chunks end."""
    table = table_of(rows)
    # Values as Arrow has them: a float32 is another number than what it was made from.
    plain = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    halves = pa.concat_tables([table.slice(0, len(rows) // 2), table.slice(len(rows) // 2)])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "CHUNK_ROWS", chunk_rows)
        assert fingerprint(NAMED, table) == fingerprint(NAMED, halves) == fingerprint_of_rows(NAMED, plain)


def test_the_digests_of_many_rows_add_up_beyond_64_bits():
    numbers = pa.table({"a": np.arange(40_000), "b": np.linspace(-1, 1, 40_000)})
    columns = [("a", "int"), ("b", "float")]
    plain = zip(*(column.to_pylist() for column in numbers.columns), strict=True)
    assert fingerprint(columns, numbers) == fingerprint_of_rows(columns, plain)


@given(rows, st.integers())
def test_the_order_of_rows_does_not_matter(table, seed):
    shuffled = list(table)
    random.Random(seed).shuffle(shuffled)
    assert fingerprint_of_rows(COLUMNS, table) == fingerprint_of_rows(COLUMNS, shuffled)


@given(rows.filter(bool), st.data())
def test_one_changed_value_changes_it(table, data):
    row = data.draw(st.integers(0, len(table) - 1))
    cell = data.draw(st.integers(0, 3))
    new = data.draw(values)
    old = table[row][cell]
    if encode_value(new) == encode_value(old):
        return
    changed = list(table)
    changed[row] = (*table[row][:cell], new, *table[row][cell + 1 :])
    assert fingerprint_of_rows(COLUMNS, table) != fingerprint_of_rows(COLUMNS, changed)


@given(rows.filter(bool))
def test_a_row_given_twice_changes_it(table):
    assert fingerprint_of_rows(COLUMNS, table) != fingerprint_of_rows(COLUMNS, [*table, table[0]])


def test_types_are_told_apart():
    encoded = {encode_value(value) for value in (None, True, 1, 1.0, "1", "", "True", 0, False)}
    assert len(encoded) == 9


def test_minus_zero_is_zero():
    assert encode_value(-0.0) == encode_value(0.0)


def test_column_names_and_types_are_part_of_it():
    assert fingerprint_of_rows([("a", "int")], [(1,)]) != fingerprint_of_rows([("b", "int")], [(1,)])
    assert fingerprint_of_rows([("a", "int")], [(1,)]) != fingerprint_of_rows([("a", "float")], [(1,)])


def test_it_is_stable_across_versions():
    """Fingerprints are kept for years in runs: changing the scheme would make all of them look moved."""
    table = [("u-1", 3, 0.5, True), ("u-2", None, -1.25, False)]
    columns = zip((name for name, _ in COLUMNS), zip(*table, strict=True), strict=True)
    in_columns = pa.table({name: pa.array(values) for name, values in columns})
    kept = "00000002c7eb356fec8118176a05756e2e6e8373"
    assert fingerprint(COLUMNS, in_columns) == fingerprint_of_rows(COLUMNS, table) == kept


def test_it_is_stable_for_values_of_every_type():
    """As computed by the first version of this module, row by row."""
    table = [
        ("ü", "a:b", "😀", -(2**63), 2**31 - 1, -0.0, 0.1, True, None, [1]),
        ("", None, "", 2**63 - 1, None, 5e-324, None, False, None, []),
        (None, "\U0010ffff", None, None, -1, 1.7976931348623157e308, -2.5, None, None, None),
    ]
    assert fingerprint(NAMED, table_of(table)) == "0000000350c7e3b2eddc40fe90e1f6979837e002"

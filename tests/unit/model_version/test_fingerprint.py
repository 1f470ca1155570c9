"""The fingerprint names the multiset of typed values, whatever the order of the rows."""

import random

from hypothesis import given
from hypothesis import strategies as st

from streamflow.model_version.fingerprint import encode_value, fingerprint

COLUMNS = [("user_id", "string"), ("a", "int"), ("b", "float"), ("c", "bool")]
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
rows = st.lists(st.tuples(values, values, values, values), max_size=20)


@given(rows, st.integers())
def test_the_order_of_rows_does_not_matter(table, seed):
    shuffled = list(table)
    random.Random(seed).shuffle(shuffled)
    assert fingerprint(COLUMNS, table) == fingerprint(COLUMNS, shuffled)


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
    assert fingerprint(COLUMNS, table) != fingerprint(COLUMNS, changed)


@given(rows.filter(bool))
def test_a_row_given_twice_changes_it(table):
    assert fingerprint(COLUMNS, table) != fingerprint(COLUMNS, [*table, table[0]])


def test_types_are_told_apart():
    encoded = {encode_value(value) for value in (None, True, 1, 1.0, "1", "", "True", 0, False)}
    assert len(encoded) == 9


def test_minus_zero_is_zero():
    assert encode_value(-0.0) == encode_value(0.0)


def test_column_names_and_types_are_part_of_it():
    assert fingerprint([("a", "int")], [(1,)]) != fingerprint([("b", "int")], [(1,)])
    assert fingerprint([("a", "int")], [(1,)]) != fingerprint([("a", "float")], [(1,)])


def test_it_is_stable_across_versions():
    """Fingerprints are kept for years in runs: changing the scheme would make all of them look moved."""
    table = [("u-1", 3, 0.5, True), ("u-2", None, -1.25, False)]
    assert fingerprint(COLUMNS, table) == "00000002c7eb356fec8118176a05756e2e6e8373"

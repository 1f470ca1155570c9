"""Which entities may be predicted from: the rules one by one, and the same for rows as for columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.eligibility import NO_ROW, NULL_VALUES, REASONS, STALE, Columns, Policy, Rules
from streamflow.encoding import LARGEST
from streamflow.model_version.contract import Feature, View

DAY = 86400.0
FEATURES = (
    Feature("a", "one", "float"),
    Feature("b", "two", "float", nullable=True),
    Feature("c", "two", "string", categories=("x", "y")),
)
VIEWS = (View("one", 30 * DAY), View("two", None))
NEWEST = (100 * DAY, 100 * DAY)
NEWEST_ONLY = Policy(require_newest=True)
BY_AGE = Policy(require_newest=False)

_DTYPES = {"float": np.float64, "int": np.int64, "bool": np.bool_, "string": object}
_FILL = {"float": 0.0, "int": 0, "bool": False, "string": ""}


def columns_of(features, rows):
    """Rows of values and stamps as columns; an absent value is NaN when its feature is nullable, as in a chunk."""
    values, absent = [], []
    for i, feature in enumerate(features):
        cells = [row[i] for row, _ in rows]
        nan = feature.nullable and feature.type in ("float", "int")
        fill = np.nan if nan else _FILL[feature.type]
        dtype = np.float64 if nan else _DTYPES[feature.type]
        values.append(np.array([fill if cell is None else cell for cell in cells], dtype=dtype))
        absent.append(np.array([cell is None for cell in cells]))
    stamps = [
        np.array([np.nan if stamps[i] is None else stamps[i] for _, stamps in rows], dtype=np.float64)
        for i in range(len(rows[0][1]))
    ]
    return Columns(values, absent, stamps)


@pytest.mark.parametrize(
    ("values", "stamps", "policy", "reason", "features"),
    [
        ((1.0, None, "x"), (100 * DAY, 100 * DAY), NEWEST_ONLY, None, []),
        ((1.0, 2.0, "x"), (None, 100 * DAY), NEWEST_ONLY, NO_ROW, ["one:a"]),
        ((None, None, None), (None, None), NEWEST_ONLY, NO_ROW, ["one:a", "two:b", "two:c"]),
        ((None, 2.0, "x"), (100 * DAY, 100 * DAY), NEWEST_ONLY, NULL_VALUES, ["one:a"]),
        ((1.0, 2.0, None), (100 * DAY, 100 * DAY), NEWEST_ONLY, NULL_VALUES, ["two:c"]),
        ((None, 2.0, "x"), (99 * DAY, 100 * DAY), NEWEST_ONLY, NULL_VALUES, ["one:a"]),
        ((np.inf, 2.0, "x"), (100 * DAY, 100 * DAY), NEWEST_ONLY, NULL_VALUES, ["one:a"]),
        ((1.0, -np.inf, "x"), (100 * DAY, 100 * DAY), NEWEST_ONLY, NULL_VALUES, ["two:b"]),
        ((1.0, np.nan, "x"), (100 * DAY, 100 * DAY), NEWEST_ONLY, NULL_VALUES, ["two:b"]),
        ((LARGEST, -LARGEST, "x"), (100 * DAY, 100 * DAY), NEWEST_ONLY, None, []),
        ((1e300, 2.0, "x"), (100 * DAY, 100 * DAY), NEWEST_ONLY, NULL_VALUES, ["one:a"]),
        ((1.0, 2.0, "x"), (100 * DAY - 1, 100 * DAY), NEWEST_ONLY, STALE, []),
        ((1.0, 2.0, "x"), (100 * DAY, 100 * DAY - 1), NEWEST_ONLY, STALE, []),
        ((1.0, 2.0, "x"), (70 * DAY, 1 * DAY), BY_AGE, None, []),
        ((1.0, 2.0, "x"), (70 * DAY - 1, 1 * DAY), BY_AGE, STALE, []),
        ((1.0, 2.0, "x"), (100 * DAY, 100 * DAY), Policy(False, 130 * DAY), None, []),
        ((1.0, 2.0, "x"), (100 * DAY, 100 * DAY), Policy(False, 130 * DAY + 1), STALE, []),
    ],
)
def test_the_first_rule_that_applies_counts_and_the_features_that_lack_are_named(
    values, stamps, policy, reason, features
):
    rules = Rules(FEATURES, VIEWS)
    assert rules.reason(values, stamps, dict(zip(("one", "two"), NEWEST, strict=True)), policy) == reason
    verdict = rules.judge(columns_of(FEATURES, [(values, stamps)]), NEWEST, policy)
    assert verdict.good.tolist() == [reason is None]
    assert verdict.reasons == ({reason: 1} if reason else {})
    assert verdict.features == dict.fromkeys(features, 1)


def test_lacking_values_are_listed_required_nulls_first():
    rules = Rules(FEATURES, VIEWS)
    assert rules.lacking((np.inf, np.nan, None)) == [2, 0, 1]
    assert rules.lacking((1.0, None, "x")) == []


def test_views_that_are_too_old_are_listed_and_a_view_without_a_newest_as_of_is_its_own_newest():
    rules = Rules(FEATURES, VIEWS)
    assert rules.stale((99 * DAY, 98 * DAY), {"one": 100 * DAY, "two": 100 * DAY}, NEWEST_ONLY) == [0, 1]
    assert rules.stale((None, 98 * DAY), {"two": 100 * DAY}, NEWEST_ONLY) == [1]
    assert rules.stale((1.0, 1.0), {}, NEWEST_ONLY) == []


# Mostly usable values, so that the later rules are reached, and every boundary.
_USUAL = [0.0, 1.0, -1.5, LARGEST, -LARGEST]
_NUMBERS = st.sampled_from(
    [*_USUAL, *_USUAL, np.nextafter(LARGEST, np.inf), 1e300, np.inf, -np.inf, np.nan, None]
)
_VALUES = {
    "float": _NUMBERS | st.floats(-1e30, 1e30),
    "int": st.sampled_from([0, 1, -(2**63), 2**63 - 1, None]) | st.integers(-(2**63), 2**63 - 1),
    "bool": st.sampled_from([True, False, True, False, None]),
    "string": st.sampled_from(["", "x", "ß", None]),
}
_STAMPS = st.sampled_from(
    [0.0, 9 * DAY, 10 * DAY - 1, 10 * DAY, 10 * DAY + 1, 19 * DAY, 20 * DAY, 20 * DAY, None]
)


@st.composite
def judged(draw):
    """A contract's features and views, rows, newest as-ofs and a policy."""
    views = tuple(
        View(f"v{i}", draw(st.none() | st.sampled_from([1.0, 10 * DAY])))
        for i in range(draw(st.integers(1, 3)))
    )
    features = tuple(
        Feature(
            f"f{i}",
            draw(st.sampled_from(views)).name,
            draw(st.sampled_from(sorted(_VALUES))),
            draw(st.booleans()),
        )
        for i in range(draw(st.integers(1, 5)))
    )
    rows = draw(
        st.lists(
            st.tuples(
                st.tuples(*(_VALUES[feature.type] for feature in features)),
                st.tuples(*(_STAMPS for _ in views)),
            ),
            min_size=1,
            max_size=8,
        )
    )
    newest = draw(st.tuples(*(st.sampled_from([10 * DAY, 20 * DAY]) for _ in views)))
    policy = Policy(
        draw(st.booleans()), draw(st.none() | st.sampled_from([10 * DAY, 20 * DAY, 20 * DAY + 1]))
    )
    return features, views, rows, newest, policy


@settings(max_examples=500)
@given(judged())
def test_rows_and_columns_are_judged_alike(case):
    features, views, rows, newest, policy = case
    rules = Rules(features, views)
    by_name = dict(zip((view.name for view in views), newest, strict=True))
    alone = [rules.reason(values, stamps, by_name, policy) for values, stamps in rows]
    columns = columns_of(features, rows)
    verdict = rules.judge(columns, newest, policy)
    assert [None if rule < 0 else REASONS[rule] for rule in verdict.rule] == alone
    assert verdict.good.tolist() == [reason is None for reason in alone]
    lacking = rules.lacking_columns(columns)
    for n, (values, stamps) in enumerate(rows):
        if alone[n] in (None, STALE):
            assert bool(rules.stale(stamps, by_name, policy)) is (alone[n] == STALE)
        assert {i for i, mask in enumerate(lacking) if mask[n]} == set(rules.lacking(values))


@pytest.mark.parametrize("policy", [NEWEST_ONLY, BY_AGE])
def test_a_row_of_a_view_without_a_newest_as_of_counts_as_its_newest(policy):
    rules = Rules(FEATURES, VIEWS)
    assert rules.reason((1.0, 2.0, "x"), (DAY, 2 * DAY), {}, policy) is None
    assert rules.reason((1.0, 2.0, "x"), (DAY, 2 * DAY), {"one": 40 * DAY}, policy) == STALE

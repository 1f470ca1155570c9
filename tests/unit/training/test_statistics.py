"""No figure of a contract's statistics is one person's value, and no extreme value can be computed from them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.encoding import LARGEST
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.predict.models.explain import reference_row
from streamflow.training.statistics import CROWD, describe

FEE = Feature("fee", "v", "float")


def of(values, feature=FEE):
    return describe([feature], pd.DataFrame({feature.name: values}))[feature.name]


def distinctive(seed, rows, low, width):
    """Values with so many decimals that nothing is equal to one of them by coincidence."""
    return low + width * np.random.default_rng(seed).random(rows)


COLUMNS = st.builds(
    distinctive,
    st.integers(0, 2**32 - 1),
    st.integers(1, 400).map(lambda n: n + 2 * CROWD),
    st.sampled_from([-1e6, 0.0, 0.5, 1e4]),
    st.sampled_from([0.1, 7.0, 90.0, 1e6]),
)


@given(COLUMNS)
def test_no_figure_is_a_value_of_the_column(values):
    found = of(values)
    assert len(found["deciles"]) == 11
    assert not {found["mean"], found["std"], *found["deciles"]} & set(values.tolist())


@given(COLUMNS, st.lists(st.floats(1, 1e12), min_size=CROWD - 1, max_size=CROWD - 1))
def test_the_values_of_fewer_people_than_a_crowd_change_nothing(values, further):
    values = np.sort(values)
    beyond = values.copy()
    beyond[: CROWD - 1] -= further
    beyond[-(CROWD - 1) :] += further
    assert of(beyond) == of(values)


@given(COLUMNS)
def test_the_deciles_are_close_to_the_exact_ones(values):
    found = np.array(of(values)["deciles"])
    exact = np.quantile(values, np.linspace(0, 1, 11))
    assert (np.diff(found) >= 0).all()
    inner = slice(1, -1)
    clipped = np.clip(exact, *np.sort(values)[[CROWD - 1, -CROWD]])
    assert found[inner] == pytest.approx(clipped[inner], abs=0.01 * (values.max() - values.min()))


@given(st.integers(2 * CROWD, 300), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_value_that_everybody_has_is_kept(rows, value):
    found = of(np.full(rows, value))
    assert found["deciles"] == [value] * 11
    assert found["std"] == 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 3 * CROWD))
def test_the_few_who_have_a_value_at_all_are_not_described_by_it(seed, known):
    nullable = Feature("fee", "v", "float", nullable=True)
    values = np.append(distinctive(seed, known, 10, 1e4), [np.nan] * 100)
    found = of(values, nullable)
    assert (found["rows"], found["absent"]) == (known + 100, 100)
    assert ("deciles" in found) == (known >= 2 * CROWD - 1)
    assert not {found.get("mean"), found.get("std"), *found.get("deciles", [])} & set(values.tolist())


def test_numbers_as_large_as_they_get_are_described():
    found = of(np.linspace(-LARGEST, LARGEST, 100))
    assert len(found["deciles"]) == 11


def test_whole_numbers_of_a_small_range_keep_their_deciles():
    found = of(np.repeat(np.arange(11), 100), Feature("tickets", "v", "int"))
    assert found["deciles"] == list(range(11))
    assert found["mean"] == 5


def test_nulls_are_counted_and_left_out():
    nullable = Feature("seats", "v", "int", nullable=True)
    found = of(np.array([np.nan] * 5 + [3.0] * 40), nullable)
    assert (found["rows"], found["absent"], found["mean"]) == (45, 5, 3)
    assert of(np.array([np.nan] * 4), nullable) == {"rows": 4, "absent": 4}
    assert of(np.array([1.0] * 4), nullable) == {"rows": 4, "absent": 0}


def test_categories_are_counted():
    found = of(np.array(["b", "a", "b"], dtype=object), Feature("plan", "v", "string", categories=("a", "b")))
    assert found == {"rows": 3, "absent": 0, "counts": {"a": 1, "b": 2}}


@pytest.mark.parametrize(("absent", "typical"), [(90, None), (0, 0)])
def test_a_feature_with_too_few_values_has_a_typical_value_all_the_same(absent, typical):
    feature = Feature("seats", "v", "int", nullable=True)
    statistics = {"seats": {"rows": 100, "absent": absent}}
    contract = Contract(
        model="churn",
        feature_service="s",
        join_key="user_id",
        features=(feature,),
        views=(View("v"),),
        threshold=0.5,
        label={},
        estimator="e",
        as_of="",
        known_at="",
        fingerprint="",
        statistics=statistics,
    )
    assert reference_row(contract) == [typical]

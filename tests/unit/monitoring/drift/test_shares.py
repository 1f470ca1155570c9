"""The tests of categories: against scipy, and never more often wrong than they say."""

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from streamflow.monitoring.drift import exact, shares


@given(st.tuples(*[st.integers(0, 40)] * 4))
def test_the_exact_test_is_fishers(counts):
    a, b, c, d = counts
    if a + b and c + d:
        found = exact.p_value(np.array([a, b]), np.array([c, d]))
        assert found == pytest.approx(stats.fisher_exact([[a, b], [c, d]])[1], rel=1e-8)


@hypothesis.settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(30, 300), st.integers(30, 300)), min_size=2, max_size=6))
def test_common_classes_have_the_larger_p_value_of_pearson_and_g(pairs):
    table = np.array(pairs).T
    expected = max(
        stats.chi2_contingency(table, correction=False, lambda_=name)[1]
        for name in ("pearson", "log-likelihood")
    )
    assert shares.p_value(table[0], table[1]) == pytest.approx(expected, rel=2e-3)


def test_rare_classes_are_pooled_and_a_class_of_one_side_alone_counts():
    x, y = shares.pooled(np.array([500, 3, 400, 2, 1]), np.array([500, 0, 400, 1, 4]))
    assert (x.tolist(), y.tolist()) == ([400, 500, 6], [400, 500, 5])
    assert all(total >= 10 for total in (x + y).tolist())
    assert shares.p_value(np.array([500, 500, 0]), np.array([500, 450, 50])) < 1e-9
    assert shares.p_value(np.array([500, 500]), np.array([500, 500])) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("n", "m"), [(7000, 200), (500, 500)])
@pytest.mark.parametrize("share", [0.003, 0.03])
def test_two_classes_are_never_rejected_more_often_than_said(n, m, share):
    rng, p = np.random.default_rng([n, m]), [1 - share, share]
    drawn = zip(rng.multinomial(n, p, 750), rng.multinomial(m, p, 750), strict=True)
    rejected = sum(shares.p_value(x, y) < 0.02 for x, y in drawn)
    assert rejected <= 15 + 3 * 15**0.5


def test_the_difference_is_the_largest_one_of_a_class():
    assert shares.difference(np.array([50, 50, 0]), np.array([40, 40, 20])) == pytest.approx(0.2)

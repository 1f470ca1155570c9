"""The Anderson-Darling test on counts, against scipy and permutations, with ties and without."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from streamflow.monitoring.drift import anderson_darling, distributions

RNG = np.random.default_rng


def both(one, other):
    return distributions.of(np.asarray(one, dtype=float)), distributions.of(np.asarray(other, dtype=float))


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
def test_p_values_of_continuous_samples_are_those_of_scipy(seed):
    rng = RNG(seed)
    one, other = rng.normal(size=300), rng.normal(0.04 * seed, 1, size=250)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = stats.anderson_ksamp([one, other], midrank=True).pvalue
    found = anderson_darling.p_value(*both(one, other))
    if 0.001 < expected < 0.25:
        assert found == pytest.approx(expected, rel=0.15)
    else:
        assert (found < 0.002, found > 0.2) == (expected <= 0.001, expected >= 0.25)


@pytest.mark.parametrize(("values", "moved"), [(2, 0.07), (3, 0.1), (6, 0.02)])
def test_the_p_value_of_ties_is_that_of_permutations(values, moved):
    rng = RNG(values)
    one, other = rng.binomial(values - 1, 0.3, size=400), rng.binomial(values - 1, 0.3 + moved, size=300)
    _, x, y = distributions.aligned(*both(one, other))
    observed = anderson_darling.statistic(x, y)
    drawn = rng.multivariate_hypergeometric(x + y, x.sum(), size=20_000)
    share = (anderson_darling.statistic(drawn, (x + y) - drawn) >= observed - 1e-9).mean()
    assert 0.001 < share < 0.3, "the example says nothing"
    assert anderson_darling.p_value(*both(one, other)) == pytest.approx(share, rel=0.25)


def test_a_single_row_that_is_rare_is_no_evidence_beyond_its_rarity():
    one, other = both(np.repeat([0.0, 1.0], [990, 10]), [1.0])
    assert anderson_darling.p_value(one, other) == pytest.approx(0.011, rel=0.05)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=60),
    st.lists(st.integers(-3, 3), min_size=1, max_size=60),
)
def test_p_values_are_symmetric_and_depend_on_ranks_alone(one, other):
    found = anderson_darling.p_value(*both(one, other))
    assert 0 <= found <= 1
    assert anderson_darling.p_value(*both(other, one)) == pytest.approx(found, rel=1e-6)
    stretched = anderson_darling.p_value(*both(np.exp(one), np.exp(other)))
    assert stretched == pytest.approx(found, rel=1e-6)


def test_equal_samples_have_the_p_value_one():
    one, _ = both(range(100), [0])
    assert anderson_darling.p_value(one, one) == pytest.approx(1.0, abs=1e-4)


def test_p_values_of_one_distribution_are_uniform_where_verdicts_are_given():
    rng, below = RNG(5), 0
    for _ in range(1000):
        one, other = rng.poisson(0.4, size=(2, 300))
        below += anderson_darling.p_value(*both(one, other)) < 0.04
    assert below <= 40 + 3 * 40**0.5
    assert below >= 40 - 3.5 * 40**0.5

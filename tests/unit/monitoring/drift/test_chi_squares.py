"""The tail of weighted sums of squared normal variables, against scipy and published percentiles."""

import numpy as np
import pytest
from scipy import stats

from streamflow.monitoring.drift import chi_squares

LIMIT = np.array([1 / (i * (i + 1)) for i in range(1, 3000)])
"""Weights of the limit of the Anderson-Darling statistic of continuous samples."""
# Marsaglia and Marsaglia 2004, Evaluating the Anderson-Darling distribution; Lewis 1961, table 1.
PUBLISHED = {1.9329578327415937: 0.1, 2.4923671600494096: 0.05, 3.8781250216053948: 0.01}


@pytest.mark.parametrize("degrees", [1, 2, 5, 14, 60])
@pytest.mark.parametrize("value", [0.01, 0.5, 1, 5, 20, 60, 90])
def test_equal_weights_give_chi_squared(degrees, value):
    found = chi_squares.tail(np.ones(degrees), value)
    assert found == pytest.approx(stats.chi2.sf(value, degrees), rel=1e-5)
    if value > degrees:
        assert found == pytest.approx(stats.chi2.sf(value, degrees), rel=1e-9)


@pytest.mark.parametrize(("value", "p_value"), PUBLISHED.items())
def test_percentiles_of_the_anderson_darling_limit_are_the_published_ones(value, p_value):
    assert chi_squares.tail(LIMIT, value) == pytest.approx(p_value, rel=1e-3)


@pytest.mark.parametrize("p_value", [0.2, 1e-12])
def test_a_quantile_is_the_inverse_of_the_tail(p_value):
    assert chi_squares.tail(LIMIT[:60], chi_squares.quantile(LIMIT[:60], p_value)) == pytest.approx(
        p_value, rel=1e-4
    )


def test_different_weights_give_what_a_simulation_gives():
    weights, rng = np.array([1.0, 0.4, 0.1]), np.random.default_rng(1)
    drawn = rng.chisquare(1, size=(400_000, 3)) @ weights
    for value in (0.5, 2.0, 6.0):
        share = (drawn > value).mean()
        assert chi_squares.tail(weights, value) == pytest.approx(share, abs=4 * (share / 400_000) ** 0.5)

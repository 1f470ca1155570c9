"""The smallest shift that a month could have shown, against an independent simulation of rows."""

import numpy as np
import pytest

from streamflow.monitoring.drift import anderson_darling, chi_squares, distributions, power, shares
from streamflow.monitoring.drift.month import alpha_of
from streamflow.monitoring.drift.power import Limits

LIMITS = Limits(alpha_of(1) / 15, 0.05)
ROWS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed": lambda rng, size: rng.lognormal(0, 0.7, size=size),
}


def found_in(rows, sd, shift, n, m, repeats):
    """Share of pairs of samples, one of them shifted, that are drift."""
    rng, found, critical = np.random.default_rng([n, m]), 0, None
    for _ in range(repeats):
        one, other = distributions.of(rows(rng, n)), distributions.of(rows(rng, m) + shift * sd)
        _, x, y = distributions.aligned(one, other)
        x, y = anderson_darling.merged_ends(x, y)
        # The law of the statistic is the same for all samples without ties.
        critical = critical or chi_squares.quantile(anderson_darling.weights(x + y), LIMITS.alpha)
        large = distributions.distance(one, other, one.sd) >= LIMITS.smallest
        found += large and anderson_darling.statistic(x, y) > critical
    return found / repeats


@pytest.mark.parametrize(("rows", "n", "m"), [("normal", 7000, 7000), ("skewed", 1000, 200)])
def test_the_stated_shift_of_a_number_is_right_within_ten_percent(rows, n, m):
    rng, rows = np.random.default_rng(1), ROWS[rows]
    reference, sd = distributions.of(rows(rng, n)), float(np.std(rows(rng, 10**6)))
    stated = power.of_number(reference, m, LIMITS)
    below = min(found_in(rows, sd, way * 0.88 * stated, n, m, 120) for way in (1, -1))
    above = min(found_in(rows, sd, way * 1.12 * stated, n, m, 120) for way in (1, -1))
    assert below < power.POWER <= above + 0.01


def test_a_tenth_of_a_standard_deviation_is_found_at_7000_rows():
    assert found_in(ROWS["normal"], 1.0, 0.1, 7000, 7000, 100) >= 0.95
    reference = distributions.of(np.random.default_rng(3).normal(size=7000))
    assert power.of_number(reference, 7000, LIMITS) < 0.1


@pytest.mark.parametrize(("share", "n", "m"), [(0.3, 7000, 7000), (0.5, 1000, 300), (0.002, 7000, 500)])
def test_the_stated_change_of_a_share_is_right_within_ten_percent(share, n, m):
    limits = Limits(LIMITS.alpha, 0.02)
    stated = power.of_share(np.round(np.array([1 - share, share]) * n).astype(int), m, limits)

    def found(change):
        rng = np.random.default_rng([n, m])
        one = rng.multinomial(n, [1 - share, share], 200)
        other = rng.multinomial(m, [1 - share - change, share + change], 200)
        pairs = [
            shares.difference(x, y) >= 0.02 and shares.p_value(x, y) < limits.alpha
            for x, y in zip(one, other, strict=True)
        ]
        return np.mean(pairs)

    assert found(0.9 * stated) < power.POWER <= found(1.1 * stated) + 0.005


def test_the_same_counts_give_the_same_figure():
    reference = distributions.of(np.random.default_rng(3).normal(size=500))
    assert power.of_number(reference, 400, LIMITS) == power.of_number(reference, 400, LIMITS)


def test_one_row_could_have_shown_nothing():
    reference = distributions.of(np.random.default_rng(3).normal(size=500))
    assert power.of_number(reference, 1, LIMITS) is None
    assert power.of_share(np.array([300, 200]), 1, Limits(0.002, 0.02)) is None


def test_the_smallest_effect_that_counts_bounds_the_figure_of_many_rows():
    reference = distributions.of(np.random.default_rng(3).normal(size=100_000))
    assert power.of_number(reference, 100_000, LIMITS) == pytest.approx(0.055, abs=0.005)


def test_zeros_that_cannot_fall_do_not_blind_a_month():
    reference = distributions.of(np.repeat([0.0, 1.0, 2.0], [6900, 90, 10]))
    assert power.of_number(reference, 7000, LIMITS) == pytest.approx(0.085, abs=0.02)

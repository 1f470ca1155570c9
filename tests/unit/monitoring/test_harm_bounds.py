"""Bounds of a mean loss hold as often as they say, and are narrow enough to be of use."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from streamflow.monitoring.harm.bounds import BINS, Losses, binned, lower_bound, upper_bound

ALPHA = 0.05


def brier(rng, rows):
    """Losses of calibrated scores; their expected value is 1/7."""
    scores = rng.beta(0.8, 2.4, rows)
    return (scores - (rng.random(rows) < scores)) ** 2


def upper(losses, alpha=ALPHA):
    return upper_bound(float(losses.mean()), float(losses.std()), len(losses), alpha)


@pytest.mark.parametrize("expected", [0.5, 0.02])
def test_the_bounds_miss_the_expected_value_no_more_often_than_they_say(expected):
    """Losses of 0 and 1 are the hardest: few rows, all of the variance."""
    rng, rounds, rows = np.random.default_rng(0), 1000, 200
    drawn = rng.random((rounds, rows)) < expected
    above = sum(lower_bound(binned(each.astype(float)), ALPHA) > expected for each in drawn)
    below = sum(upper(each.astype(float)) < expected for each in drawn)
    allowed = rounds * ALPHA + 3 * math.sqrt(rounds * ALPHA * (1 - ALPHA))
    assert above <= allowed, above
    assert below <= allowed, below


@pytest.mark.parametrize("rows", [500, 7_000, 1_000_000])
def test_the_bounds_are_within_twice_the_width_that_the_normal_distribution_would_allow(rows):
    losses = brier(np.random.default_rng(1), rows)
    width = NormalDist().inv_cdf(1 - ALPHA) * losses.std() / math.sqrt(rows)
    assert 0 < losses.mean() - lower_bound(binned(losses), ALPHA) < 2 * width
    assert 0 < upper(losses) - losses.mean() < 2.1 * width


def test_a_bin_counts_as_its_lower_end():
    """So that rounding never raises the lower bound."""
    counts = binned(np.full(5, 0.1 + 0.5 / BINS)).counts
    assert counts[BINS // 10] == 5
    without_doubt = lower_bound(Losses(counts * 10**12, 0.1), ALPHA)
    assert 0.0999 < without_doubt < 0.1


def test_a_smaller_error_rate_widens_both_bounds():
    losses = brier(np.random.default_rng(2), 2000)
    assert lower_bound(binned(losses), 1e-4) < lower_bound(binned(losses), 1e-2)
    assert upper(losses, 1e-4) > upper(losses, 1e-2)


def test_losses_that_say_nothing_give_the_whole_interval():
    assert lower_bound(binned(np.zeros(1000)), ALPHA) == 0
    assert lower_bound(binned(np.array([])), ALPHA) == 0
    assert upper(np.ones(1000)) == 1


def test_what_is_no_loss_is_refused():
    for wrong in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match="not between 0 and 1"):
            binned(np.array([0.5, wrong]))

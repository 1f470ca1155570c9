"""Figures of merit, against values worked out by hand."""

import numpy as np
import pytest

from streamflow.training.evaluate import calibration_error, calibration_interval, decile_error, evaluate


def test_a_perfect_ranking_has_auc_one():
    figures = evaluate(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.8, 0.9]), 0.5)
    assert figures["auc"] == 1.0
    assert figures["accuracy"] == figures["f1"] == figures["precision"] == figures["recall"] == 1.0


def test_the_threshold_decides_what_counts_as_positive():
    labels, probabilities = np.array([False, True, True]), np.array([0.4, 0.45, 0.9])
    assert evaluate(labels, probabilities, 0.5)["recall"] == 0.5
    assert evaluate(labels, probabilities, 0.42)["recall"] == 1.0


def test_a_threshold_no_row_reaches_gives_zero_not_an_error():
    figures = evaluate(np.array([False, True]), np.array([0.1, 0.2]), 0.99)
    assert figures["f1"] == 0.0


def test_calibration_error_is_the_weighted_gap():
    # Bin 0.2..0.3 holds two rows of mean 0.25 with half positive, bin 0.9..1 two of mean 0.95, all positive.
    labels = np.array([False, True, True, True])
    probabilities = np.array([0.25, 0.25, 0.95, 0.95])
    assert calibration_error(labels, probabilities) == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)


def test_probability_one_falls_in_the_last_bin():
    assert calibration_error(np.array([True]), np.array([1.0])) == 0.0


def test_decile_error_is_the_mean_gap_of_parts_of_equal_size():
    # Two parts: three rows of mean 0.2 with a third positive, and two of mean 0.7, both positive.
    labels = np.array([False, True, False, True, True])
    probabilities = np.array([0.3, 0.1, 0.2, 0.6, 0.8])
    assert decile_error(labels, probabilities, 2) == pytest.approx((3 * (1 / 3 - 0.2) + 2 * 0.3) / 5)


def test_the_interval_of_the_calibration_error_covers_it():
    """The truth is 0.1 everywhere; 95 % of intervals cover it, give or take three standard errors of 400 tries."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        truth = rng.uniform(0.15, 0.75, 2000)
        low, high = calibration_interval(rng.random(2000) < truth, truth + 0.1)
        covered += low <= 0.1 <= high
    assert abs(covered / 400 - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize("rows", [40, 100, 500, 5000])
def test_a_calibrated_model_is_rarely_refused_for_chance(rows):
    """However few rows there are, the lower end of a true error of 0 is above 0.05 in at most 2.5 % of cases."""
    rng = np.random.default_rng(6)
    refused = 0
    for _ in range(400):
        truth = rng.beta(1, 2.5, rows)
        refused += calibration_interval(rng.random(rows) < truth, truth, resamples=500)[0] > 0.05
    assert refused / 400 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 400)

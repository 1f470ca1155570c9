"""Figures of merit, against values worked out by hand."""

import numpy as np
import pytest

from streamflow.training.evaluate import calibration_error, evaluate


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

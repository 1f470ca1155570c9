"""Losses with labels: values of scikit-learn, and intervals that cover."""

import numpy as np
import pytest
from sklearn import metrics

from streamflow.monitoring.quality import losses
from streamflow.monitoring.quality.interval import Interval


def test_values_are_scikit_learns():
    rng = np.random.default_rng(2)
    p = rng.random(500)
    y = rng.random(500) < p
    assert losses.brier(y, p).value == pytest.approx(metrics.brier_score_loss(y, p))
    assert losses.log_loss(y, p).value == pytest.approx(metrics.log_loss(y, p))


def test_a_wrong_certainty_costs_a_finite_amount():
    assert losses.log_loss(np.array([True, False]), np.array([0.0, 0.0])).value == pytest.approx(
        -np.log(1e-15) / 2
    )


def test_the_bootstrap_and_the_normal_interval_agree_where_one_replaces_the_other(monkeypatch):
    rng = np.random.default_rng(3)
    values = rng.beta(1, 3, losses.BOOTSTRAPPED_ROWS) ** 2
    drawn = losses.mean(values)
    monkeypatch.setattr(losses, "BOOTSTRAPPED_ROWS", 0)
    normal = losses.mean(values)
    assert drawn.value == normal.value
    width = normal.high - normal.low
    assert drawn != normal
    assert drawn.low == pytest.approx(normal.low, abs=0.05 * width)
    assert drawn.high == pytest.approx(normal.high, abs=0.05 * width)


def test_the_bootstrap_interval_covers_the_mean_and_is_the_same_every_time():
    rng = np.random.default_rng(4)
    covered = sum(
        found.low <= 1 / 3 <= found.high for found in (losses.mean(rng.random(40) ** 2) for _ in range(200))
    )
    assert 0.9 <= covered / 200 <= 0.985
    values = rng.random(60)
    assert losses.mean(values) == losses.mean(values)


def test_one_row_has_no_interval_and_two_rows_have_one():
    assert losses.mean(np.array([0.25])) == Interval(0.25)
    two = losses.mean(np.array([0.0, 1.0]))
    assert (two.low, two.value, two.high) == (0.0, 0.5, 1.0)

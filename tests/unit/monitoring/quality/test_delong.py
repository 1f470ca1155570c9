"""DeLong's variance: a published example, the definition by all pairs, and rows that have none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from streamflow.monitoring.quality import delong


def by_all_pairs(labels, scores):
    """The area and its variance as DeLong, DeLong and Clarke-Pearson (1988) define them."""
    positive, negative = scores[labels], scores[~labels]
    won = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    beats, beaten = won.mean(axis=1), won.mean(axis=0)
    return won.mean(), beats.var(ddof=1) / len(positive) + beaten.var(ddof=1) / len(negative)


def test_the_example_of_statas_manual():
    """Hanley and McNeil's (1982) 109 tomographies, as rated from 1 to 5.

    The Stata Base Reference Manual, roctab, example 1: area 0.8932, standard error 0.0307 by DeLong, 95 % interval from
    0.83295 to 0.95339.
    """
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    ratings = np.tile(np.arange(1.0, 6.0), 2)
    scores = np.repeat(ratings, normal + abnormal)
    labels = np.repeat([False, True], [sum(normal), sum(abnormal)])
    area = delong.area(labels, scores)
    assert round(area.value, 4) == 0.8932
    assert round(area.variance**0.5, 4) == 0.0307
    assert round(area.interval.low, 5) == 0.83295
    assert round(area.interval.high, 5) == 0.95339


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60).filter(
        lambda rows: 2 <= sum(label for label, _ in rows) <= len(rows) - 2
    )
)
def test_midranks_give_what_all_pairs_give(rows):
    labels = np.array([label for label, _ in rows])
    scores = np.array([score / 6 for _, score in rows])
    value, variance = by_all_pairs(labels, scores)
    area = delong.area(labels, scores)
    assert area.value == pytest.approx(value, abs=1e-12)
    assert area.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert area.variance == pytest.approx(variance, abs=1e-12)


def test_the_interval_covers_the_true_area_in_95_of_100_samples():
    rng = np.random.default_rng(5)
    true = 0.7602499389065233  # Of two normal distributions, one standard deviation apart: the integral of 1/sqrt(2).
    covered = 0
    for _ in range(1000):
        labels = np.arange(300) < 100
        low_high = delong.area(labels, rng.normal(labels, 1.0)).interval
        covered += low_high.low <= true <= low_high.high
    assert 0.93 <= covered / 1000 <= 0.97


def test_rows_that_have_no_area_or_no_variance():
    both = np.array([True, False])
    assert delong.area(np.array([True, True]), np.array([0.1, 0.9])) is None
    assert delong.area(np.empty(0, dtype=bool), np.empty(0)) is None
    assert delong.area(both, np.array([0.9, 0.1])).variance is None
    perfect = delong.area(np.arange(40) < 20, -np.arange(40.0))
    assert (perfect.value, perfect.interval.low, perfect.interval.high) == (1.0, None, None)

"""The correction for many features, and what a share of a month could have shown, against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import power_proportions_2indep, proportions_chisquare

from streamflow.monitoring.drift import power, shares
from streamflow.monitoring.drift.distributions import of
from streamflow.monitoring.drift.feature import DRIFTED, Column, Thresholds
from streamflow.monitoring.drift.month import ERROR_RATE, Compared, alpha_of, features_of
from streamflow.monitoring.drift.power import Limits

EVERY_DIFFERENCE = Thresholds(shift=0.0, share=0.0)


@pytest.mark.parametrize("seed", range(2))
def test_features_drift_where_statsmodels_rejects_after_bonferronis_correction(seed):
    rng = np.random.default_rng(seed)
    shifts = rng.choice([0.0, 0.1, 0.15, 0.2, 0.3], 6)
    columns = {
        f"feature_{at}": Compared(Column(of(rng.normal(0, 1, 800))), Column(of(rng.normal(shift, 1, 800))))
        for at, shift in enumerate(shifts)
    }
    found = features_of(columns, ERROR_RATE, EVERY_DIFFERENCE)
    rejected = multipletests([item.p_value for item in found], ERROR_RATE, method="bonferroni")[0]
    assert [item.outcome == DRIFTED for item in found] == rejected.tolist()
    assert 0 < rejected.sum() < 6


def test_the_error_rates_of_all_verdicts_add_up_to_that_of_the_version():
    spent = sum(alpha_of(position) for position in range(1, 100_001))
    assert spent == pytest.approx(ERROR_RATE, abs=1e-6)
    assert spent < ERROR_RATE


@pytest.mark.parametrize("counts", [((700, 300), (640, 360)), ((90, 10), (170, 30)), ((5000, 1), (4980, 21))])
def test_a_share_is_never_more_significant_than_by_statsmodels_chi_square(counts):
    one, other = (np.array(side) for side in counts)
    theirs = proportions_chisquare([one[1], other[1]], [one.sum(), other.sum()])[1]
    if min((one + other)[1] * side.sum() / (one.sum() + other.sum()) for side in (one, other)) >= 5:
        assert shares.p_value(one, other) >= theirs * (1 - 1e-9)
        assert shares.p_value(one, other) == pytest.approx(theirs, rel=0.5)


@pytest.mark.parametrize("rows", [500, 2000, 20_000])
def test_the_smallest_change_of_a_share_has_the_power_that_statsmodels_computes(rows):
    """Without a least effect; the power is 0.95 in the harder direction, to the accuracy of a normal approximation."""
    stated = power.of_share(np.array([rows // 2, rows // 2]), rows, Limits(0.001, 0.0))
    theirs = power_proportions_2indep(stated, 0.5, rows, alpha=0.001, return_results=False)
    assert theirs == pytest.approx(0.95, abs=0.02)

"""Estimates from scores alone: the definition by all pairs, and labels drawn from the scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.monitoring.quality import cbpe
from streamflow.monitoring.quality.delong import midranks

LEVELS = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.9, 1.0]), min_size=2, max_size=40)


def expected_by_all_pairs(p):
    won = (p[:, None] > p) + 0.5 * (p[:, None] == p)
    pairs = p[:, None] * (1 - p)
    np.fill_diagonal(pairs, 0.0)
    return (won * pairs).sum() / pairs.sum() if pairs.sum() else None


@given(LEVELS)
def test_sorting_gives_what_all_pairs_give(levels):
    p = np.array(levels)
    expected, found = expected_by_all_pairs(p), cbpe.auc(p)
    assert (expected is None) == (found is None)
    if found is not None:
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert 0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1


@pytest.mark.parametrize("decimals", [2, 12])
def test_figures_and_intervals_are_those_of_labels_drawn_from_the_scores(decimals):
    rng = np.random.default_rng(1)
    p = np.clip(np.round(rng.beta(1, 3, 1000), decimals), 0.005, 0.995)
    drawn = rng.random((4000, len(p))) < p
    positives = drawn.sum(axis=1)
    pairs = positives * (len(p) - positives)
    losses = {
        "auc": (drawn @ midranks(p) - positives * (positives + 1) / 2) / pairs,
        "log_loss": -np.where(drawn, np.log(p), np.log(1 - p)).mean(axis=1),
        "brier": ((p - drawn) ** 2).mean(axis=1),
    }
    for name, values in losses.items():
        found = getattr(cbpe, name)(p)
        spread = np.std(values)
        assert found.value == pytest.approx(np.mean(values), abs=4 * spread / 4000**0.5), name
        assert (found.high - found.low) / (2 * 1.959964) == pytest.approx(spread, rel=0.05), name
        inside = np.mean((np.array(values) >= found.low) & (np.array(values) <= found.high))
        assert 0.935 <= inside <= 0.965, name


def test_expected_counts():
    p = np.array([0.9, 0.6, 0.3, 0.1])
    assert cbpe.counts(p, p >= 0.5) == pytest.approx((1.5, 0.5, 0.4))


@pytest.mark.parametrize("p", [[], [0.3], [0.0, 0.0], [1.0, 1.0, 1.0]])
def test_scores_without_a_pair_have_no_auc(p):
    assert cbpe.auc(np.array(p)) is None


def test_certain_scores_have_figures_without_width():
    p = np.array([0.0, 1.0])
    assert (cbpe.auc(p).value, cbpe.brier(p).value) == (1.0, 0.0)
    assert cbpe.log_loss(p).value == pytest.approx(0.0, abs=1e-12)

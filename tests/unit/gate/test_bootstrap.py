"""The paired bootstrap: correct AUCs, intervals that shrink with pairing, reproducible numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from streamflow.gate import bootstrap


def sample(rows=600, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < 0.3
    score = labels + rng.normal(0, 1.2, rows)
    return labels, score, score + rng.normal(0, 0.05, rows)


@given(st.data())
def test_the_weighted_auc_is_that_of_repeated_rows(data):
    rows = data.draw(st.integers(4, 20))
    labels = np.array(
        [True, False, *data.draw(st.lists(st.booleans(), min_size=rows - 2, max_size=rows - 2))]
    )
    scores = np.array(
        data.draw(st.lists(st.sampled_from([0.1, 0.2, 0.2, 0.9]), min_size=rows, max_size=rows))
    )
    weights = np.array(data.draw(st.lists(st.integers(1, 3), min_size=rows, max_size=rows)), dtype=float)
    expected = roc_auc_score(np.repeat(labels, weights.astype(int)), np.repeat(scores, weights.astype(int)))
    assert bootstrap._auc(labels, scores, weights[None])[0] == pytest.approx(expected)


def test_the_interval_holds_the_estimate_and_is_the_same_each_time():
    labels, score, _ = sample()
    interval = bootstrap.auc_interval(labels, score)
    assert interval.estimate == pytest.approx(roc_auc_score(labels, score))
    assert interval.low < interval.estimate < interval.high
    assert interval == bootstrap.auc_interval(labels, score)


def test_what_two_models_have_in_common_cancels_out():
    labels, score, nearly = sample()
    difference = bootstrap.paired_aucs(labels, score, nearly).difference
    alone = bootstrap.auc_interval(labels, score)
    assert difference.high - difference.low < (alone.high - alone.low) / 5


def test_each_model_has_its_own_interval_beside_the_difference():
    labels, score, nearly = sample()
    paired = bootstrap.paired_aucs(labels, score, nearly)
    assert paired.challenger == bootstrap.auc_interval(labels, score)
    assert paired.champion.estimate == pytest.approx(roc_auc_score(labels, nearly))
    assert paired.champion.low < paired.champion.estimate < paired.champion.high


def test_a_model_against_itself_differs_by_nothing():
    labels, score, _ = sample()
    assert bootstrap.paired_aucs(labels, score, score).difference == bootstrap.Interval(0.0, 0.0, 0.0)


def test_resampling_in_chunks_gives_the_same_kind_of_interval(monkeypatch):
    labels, score, nearly = sample()
    whole = bootstrap.paired_aucs(labels, score, nearly, resamples=400).difference
    monkeypatch.setattr(bootstrap, "_CELLS", 6000)
    chunked = bootstrap.paired_aucs(labels, score, nearly, resamples=400).difference
    assert chunked.estimate == whole.estimate
    assert chunked.low == pytest.approx(whole.low, abs=0.002)

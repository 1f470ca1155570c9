"""What is kept of the holdout's scores: counts by label, and losses."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from streamflow.training.holdout import BINS, describe


def test_scores_are_counted_by_label_and_their_losses_described():
    rng = np.random.default_rng(0)
    probabilities = rng.beta(1, 3, 500)
    labels = rng.random(500) < probabilities
    found = describe(labels, probabilities)
    counts = np.array(found["bins"])
    assert (found["rows"], found["positives"], counts.shape) == (500, labels.sum(), (BINS, 2))
    assert counts.sum(axis=0).tolist() == [labels.sum(), (~labels).sum()]
    inside = (probabilities >= 0.25) & (probabilities < 0.255)
    assert counts[50].tolist() == [(labels & inside).sum(), (~labels & inside).sum()]
    assert found["losses"]["brier"][0] == pytest.approx(brier_score_loss(labels, probabilities))
    assert found["losses"]["log_loss"][0] == pytest.approx(log_loss(labels, probabilities))
    assert found["losses"]["brier"][1] == pytest.approx(np.std((probabilities - labels) ** 2, ddof=1))


def test_the_ends_are_counted_and_their_losses_are_finite():
    found = describe(np.array([True, False]), np.array([0.0, 1.0]))
    assert (found["bins"][0], found["bins"][-1]) == ([1, 0], [0, 1])
    assert found["losses"]["brier"] == [1.0, 0.0]
    assert 34 < found["losses"]["log_loss"][0] < 35
    assert describe(np.array([True]), np.array([0.5]))["losses"]["brier"] == [0.25, 0.0]

"""Figures of one month, and why some of them are missing."""

import json

import numpy as np
import pytest
from sklearn import metrics

from streamflow.monitoring.quality import figures
from streamflow.monitoring.quality.by_slice import Owners
from streamflow.monitoring.quality.curve import calibration_curve
from streamflow.monitoring.quality.figures import Scores, Worth
from streamflow.monitoring.quality.interval import Interval


def month(rows=2000, labelled=None, threshold=0.4, labels=None, seed=0):
    """Scores of some customers with labels drawn from them."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 3, rows)
    drawn = rng.random(rows) < p if labels is None else np.full(rows, labels)
    known = np.ones(rows, dtype=bool) if labelled is None else np.arange(rows) < labelled
    codes = np.minimum(np.arange(rows) // max(rows // 2, 1), 1)
    return Scores(
        p, p >= threshold, drawn & known, known, {"half": Owners(("first", "second", "none"), codes)}
    )


def test_realized_figures_are_scikit_learns():
    scores = month()
    found = figures.realized(scores, Worth(10.0, 1.0))
    y, p, predicted = scores.labels, scores.probabilities, scores.predicted
    assert found.auc.value == pytest.approx(metrics.roc_auc_score(y, p))
    assert found.auc.low < found.auc.value < found.auc.high
    assert found.precision == pytest.approx(metrics.precision_score(y, predicted))
    assert found.recall == pytest.approx(metrics.recall_score(y, predicted))
    assert found.f1 == pytest.approx(metrics.f1_score(y, predicted))
    assert found.profit == pytest.approx(10 * (y & predicted).sum() - (~y & predicted).sum())
    assert (found.rows, found.positives) == (2000, y.sum())
    assert found.detail["why"] == {}


def test_estimates_lie_near_what_comes_true_and_their_error_is_the_difference():
    scores = month(50_000)
    estimate, truth = figures.estimated(scores, Worth(10.0, 1.0)), figures.realized(scores, Worth(10.0, 1.0))
    error = figures.errors(estimate, truth)
    assert error["auc"] == estimate.auc.value - truth.auc.value
    assert abs(error["auc"]) < 0.01
    assert abs(error["log_loss"]) < 0.01
    assert abs(error["f1"]) < 0.02
    assert abs(error["profit"]) < 0.05 * truth.profit
    assert "concept drift" in estimate.detail["assumes"]
    assert estimate.positives is None


def test_rows_without_a_label_count_for_the_estimate_alone():
    scores = month(2000, labelled=500)
    truth = figures.realized(scores, Worth())
    assert (figures.estimated(scores, Worth()).rows, truth.rows, truth.detail["unlabelled"]) == (
        2000,
        500,
        1500,
    )
    assert truth.auc.value == pytest.approx(
        metrics.roc_auc_score(scores.labels[:500], scores.probabilities[:500])
    )


@pytest.mark.parametrize("label", [True, False])
def test_labels_of_one_class_have_losses_and_no_auc(label):
    found = figures.realized(month(labels=label), Worth())
    assert found.auc is None
    assert found.detail["why"]["auc"] == f"all 2000 labels are {'true' if label else 'false'}"
    assert found.brier.low < found.brier.value < found.brier.high
    assert (found.recall is None) == (not label)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_month_of_few_rows_has_reasons_instead_of_figures(rows):
    for found in (figures.estimated(month(rows), Worth()), figures.realized(month(rows), Worth())):
        assert found.rows == rows
        assert (found.brier is None) == (rows == 0)
        assert found.auc is None or found.auc.low is None
        assert "auc" in found.detail["why"] or "auc interval" in found.detail["why"]
        assert found.detail["slices"] == []
        json.dumps(found.detail, allow_nan=False)


def test_without_a_positive_prediction_there_is_no_precision_but_an_f1():
    found = figures.realized(month(threshold=1.1), Worth())
    assert (found.precision, found.recall, found.f1) == (None, 0.0, 0.0)
    assert found.detail["why"]["precision"] == "no positive prediction"


def test_profit_needs_both_settings():
    for worth in (Worth(), Worth(true_positive=1.0), Worth(false_positive=1.0)):
        assert figures.estimated(month(), worth).profit is None
    assert figures.estimated(month(), Worth(0.0, 0.0)).profit == 0.0


def test_a_slice_is_judged_by_the_gates_rule_and_small_parts_only_together():
    scores = month(300)
    codes = np.repeat([0, 1, 2, 3, 4], [200, 80, 9, 8, 3])
    owners = {"contract": Owners(("large", "medium", "a", "b", "c", "none"), codes)}
    scores = Scores(scores.probabilities, scores.predicted, scores.labels, scores.labelled, owners)
    found = {part["value"]: part for part in figures.realized(scores, Worth()).detail["slices"]}
    assert {name: part["rows"] for name, part in found.items()} == {"large": 200, "medium": 80, "others": 20}
    assert found["large"]["auc"] == pytest.approx(
        metrics.roc_auc_score(scores.labels[:200], scores.probabilities[:200])
    )
    assert found["large"]["low"] < found["large"]["auc"] < found["large"]["high"]
    assert (found["others"]["auc"], found["others"]["why"]) == (
        None,
        "fewer than 50 rows, or than 10 of a class",
    )
    estimate = {part["value"]: part for part in figures.estimated(scores, Worth()).detail["slices"]}
    assert estimate["large"]["auc"] != found["large"]["auc"]


def test_the_calibration_curve_has_deciles_of_at_least_ten_rows():
    rng = np.random.default_rng(6)
    p = rng.random(1003)
    curve = calibration_curve(rng.random(1003) < p, p)
    assert [part.rows for part in curve] == [101] * 3 + [100] * 7
    assert all(abs(part.score - part.positives) < 0.15 for part in curve)
    assert [part.score for part in curve] == sorted(part.score for part in curve)
    assert [part.rows for part in calibration_curve(p[:39] < 0.5, p[:39])] == [13, 13, 13]
    assert calibration_curve(p[:9] < 0.5, p[:9]) == ()


def test_the_holdouts_auc_comes_from_its_bins():
    rng = np.random.default_rng(7)
    p = rng.beta(1, 3, 5000)
    y = rng.random(5000) < p
    place = np.minimum((p * 200).astype(int), 199)
    bins = [[int((y & (place == b)).sum()), int((~y & (place == b)).sum())] for b in range(200)]
    found = figures.reference({"bins": bins})
    assert found.value == pytest.approx(metrics.roc_auc_score(y, p), abs=5e-4)
    assert found.low < found.value < found.high
    for missing in (None, {}, {"bins": []}, {"bins": [[0, 0]] * 200}, {"bins": [[5, 0]] * 200}):
        assert figures.reference(missing) is None


def test_an_auc_is_below_the_holdout_with_its_whole_interval_or_not_at_all():
    holdout = Interval(0.8, 0.78, 0.82)
    assert figures.below(Interval(0.75, 0.74, 0.77), holdout) is True
    assert figures.below(Interval(0.75, 0.71, 0.79), holdout) is False
    assert figures.below(Interval(0.75), holdout) is None
    assert figures.below(Interval(0.75, 0.74, 0.77), None) is None

"""The threshold is what its rule asks for, on the rows that it was given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score, precision_score, recall_score

from streamflow.errors import Refused
from streamflow.settings import TrainingSettings
from streamflow.settings.training import ThresholdRule, rule_of
from streamflow.training.threshold import choose

RNG = np.random.default_rng(3)
PROBABILITIES = RNG.beta(1.2, 3, 900)
LABELS = RNG.random(900) < PROBABILITIES

# Few distinct values, as an isotonic curve gives them.
rows = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60).filter(
    lambda some: len({label for _, label in some}) == 2
)


def of(some):
    return np.array([label for _, label in some]), np.array([value / 21 for value, _ in some])


@given(rows, st.sampled_from([0.5, 1.0, 2.0]))
def test_no_threshold_has_a_better_f_measure(some, beta):
    labels, probabilities = of(some)
    found = choose(f"fbeta:{beta}", labels, probabilities).value
    best = max(
        fbeta_score(labels, probabilities >= value, beta=beta, zero_division=0.0)
        for value in [*np.unique(probabilities[probabilities > 0]), 2.0]
    )
    assert 0 < found < 1
    assert fbeta_score(labels, probabilities >= found, beta=beta, zero_division=0.0) == pytest.approx(best)


@given(rows, st.floats(0.05, 0.95))
def test_a_recall_is_reached_with_the_most_precision(some, least):
    # No threshold above 0 selects a probability of 0.
    some = [(value + 1, label) for value, label in some]
    labels, probabilities = of(some)
    found = choose(f"recall:{least}", labels, probabilities).value
    assert recall_score(labels, probabilities >= found) >= least
    possible = [v for v in np.unique(probabilities) if recall_score(labels, probabilities >= v) >= least]
    best = max(precision_score(labels, probabilities >= v) for v in possible)
    assert precision_score(labels, probabilities >= found) == pytest.approx(best)


def test_a_precision_is_reached_with_the_most_recall():
    found = choose("precision:0.7", LABELS, PROBABILITIES).value
    assert precision_score(LABELS, found <= PROBABILITIES) >= 0.7
    possible = [v for v in np.unique(PROBABILITIES) if precision_score(LABELS, v <= PROBABILITIES) >= 0.7]
    assert recall_score(LABELS, found <= PROBABILITIES) == pytest.approx(
        max(recall_score(LABELS, v <= PROBABILITIES) for v in possible)
    )


def test_a_precision_that_no_threshold_reaches_is_refused_with_the_highest():
    labels, probabilities = np.array([True, False] * 10), np.linspace(0.1, 0.9, 20)
    with pytest.raises(Refused, match=r"No threshold gives a precision of 0\.99.*the highest is 0\.5"):
        choose("precision:0.99", labels, probabilities)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_top_share_of_the_rows_is_selected(share):
    found = choose(f"top:{share}", LABELS, PROBABILITIES).value
    assert (found <= PROBABILITIES).mean() == pytest.approx(share, abs=1 / 900)


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-12, 1.0 - 1e-16, 1.0])
@pytest.mark.parametrize("rule", ["f1", "recall:0.9", "top:0.5"])
def test_probabilities_at_the_ends_have_a_threshold_between_0_and_1(rule, value):
    probabilities = np.array([value] * 4)
    found = choose(rule, np.array([True, False, True, False]), probabilities).value
    assert 0 < found < 1
    assert (probabilities >= found).all() == (value > 0)


def test_a_number_is_taken_as_it_is():
    found = choose("0.31", LABELS, PROBABILITIES)
    assert (found.rule, found.value) == ("0.31", 0.31)


def test_a_threshold_lies_between_two_probabilities():
    found = choose("f1", np.array([False, False, True, True]), np.array([0.1, 0.2, 0.6, 0.8])).value
    assert found == pytest.approx(0.4)


def test_the_curve_says_what_other_thresholds_would_have_given():
    curve = choose("f1", LABELS, PROBABILITIES).curve
    assert len(curve) == 99
    assert [point[0] for point in curve] == sorted(point[0] for point in curve)
    for value, precision, recall, share in curve:
        selected = value <= PROBABILITIES
        assert precision == pytest.approx(precision_score(LABELS, selected))
        assert recall == pytest.approx(recall_score(LABELS, selected))
        assert share == pytest.approx(selected.mean())


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("f1", ThresholdRule("fbeta", 1.0)),
        ("fbeta:2", ThresholdRule("fbeta", 2.0)),
        ("precision:.7", ThresholdRule("precision", 0.7)),
        ("top:5e-2", ThresholdRule("top", 0.05)),
        ("0.5", ThresholdRule("fixed", 0.5)),
    ],
)
def test_a_rule_is_read(text, rule):
    assert rule_of(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f2",
        "f1:1",
        "fbeta:0",
        "fbeta:inf",
        "top:1",
        "recall:0",
        "precision:nan",
        "0",
        "1",
        "1.5",
        "-0.2",
        "a:b:c",
    ],
)
def test_what_is_no_rule_is_refused_by_the_settings(text):
    with pytest.raises(ValueError, match="is not a rule for a threshold; a rule is f1, fbeta:B"):
        TrainingSettings(threshold=text)


def test_the_settings_take_a_number():
    assert TrainingSettings(threshold=0.5).threshold == "0.5"

"""Verdicts on features and months: the four outcomes, the inputs that break monitors, and the error rate over months."""

import json

import numpy as np
import pytest

from streamflow.monitoring.drift import anderson_darling, distributions, month, stability_index
from streamflow.monitoring.drift.feature import Column, Thresholds, compare
from streamflow.monitoring.drift.month import Compared

RNG = np.random.default_rng(7)
NORMAL = RNG.normal(size=7000)
NONE = [np.nan] * 60


def number(values):
    values = np.asarray(values, dtype=float)
    return Column(distributions.of(values), int(np.isnan(values).sum()))


def of(reference, current, alpha=0.002, **options):
    sides = [side if isinstance(side, Column) else number(side) for side in (reference, current)]
    found = compare("x", *sides, alpha, Thresholds(), **options)
    json.dumps(found.detail, allow_nan=False)
    return found


CASES = {
    "the same distribution": (NORMAL, RNG.normal(size=7000), "stable"),
    "a shift": (NORMAL, RNG.normal(0.1, 1, size=7000), "drifted"),
    "a shift too small to count": (RNG.normal(size=400_000), RNG.normal(0.02, 1, size=400_000), "stable"),
    "one row": (NORMAL, [0.3], "too_few_rows"),
    "no row": (NORMAL, [], "no_data"),
    "all null": (NORMAL, NONE, "drifted"),
    "all null on both sides": (NONE, NONE, "no_data"),
    "a null share that grew": (NORMAL, np.where(RNG.random(7000) < 0.05, np.nan, NORMAL), "drifted"),
    "constant as before": (np.ones(7000), np.ones(7000), "stable"),
    "another constant": (np.ones(7000), np.full(7000, 2.0), "drifted"),
    "constant now": (NORMAL, np.ones(7000), "drifted"),
    "one row against one": ([1.0], [1.0], "too_few_rows"),
    "huge values": (NORMAL * 1e300, NORMAL * 1e300, "stable"),
    "tiny values": (NORMAL * 1e-300, NORMAL * 1e-300, "stable"),
    "a new category": (Column({"a": 5000, "b": 2000}), Column({"a": 4900, "b": 1900, "c": 300}), "drifted"),
    "a category that is gone": (Column({"a": 5000, "b": 2000}), Column({"a": 7000}), "drifted"),
    "the same categories": (Column({"a": 5000, "b": 2000}), Column({"a": 5010, "b": 1990}), "stable"),
    "categories of one row": (Column({"a": 5000, "b": 2000}), Column({"b": 1}), "too_few_rows"),
    "no categories": (Column({"a": 5000}), Column({}), "no_data"),
}


@pytest.mark.parametrize(("reference", "current", "outcome"), CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("error")
def test_each_input_has_its_outcome(reference, current, outcome):
    found = of(reference, current)
    assert found.outcome == outcome
    assert (found.p_value is None) == (outcome == "no_data" and "absence" not in found.detail)
    if outcome == "no_data":
        assert found.detail["why"]


def test_absence_is_a_test_of_its_own_where_the_feature_may_be_null():
    without, with_it = of(NORMAL, NORMAL[:5000]), of(NORMAL, NORMAL[:5000], nullable=True)
    assert "absence" not in without.detail
    assert with_it.detail["absence"]["outcome"] == "stable"
    assert with_it.detail["absence"]["alpha"] == without.alpha / 2
    nulls = of(NORMAL, [*NORMAL, *[np.nan] * 400])
    assert nulls.outcome == nulls.detail["absence"]["outcome"] == "drifted"
    assert nulls.p_value == pytest.approx(2 * nulls.detail["absence"]["p_value"])
    assert nulls.effect < 1e-9, "the values themselves are the same"


def test_a_difference_that_chance_makes_is_no_drift_and_its_figures_stay():
    found = of(RNG.normal(size=150), RNG.normal(0.1, 1, size=150))
    assert (found.outcome, found.kind, found.rows, found.reference_rows) == (
        "too_few_rows",
        "number",
        150,
        150,
    )
    assert found.smallest_detectable > 0.5


def test_a_constant_reference_is_measured_in_shares():
    found = of(np.ones(500), np.repeat([1.0, 7.0], [450, 50]))
    assert (found.kind, found.outcome, found.effect) == ("category", "drifted", pytest.approx(0.1))
    assert found.detail["classes"] == ["1", "other values"]


@pytest.mark.parametrize("rows", [25, 120, 3000])
def test_what_is_recorded_shows_no_few_rows(rows):
    values = RNG.normal(size=rows)
    shown = of(NORMAL, values).detail.get("bins")
    if shown is None:
        return
    counts = np.array(shown["current"]) * rows
    assert all(count < 0.5 or count > 9.5 for count in counts)
    assert len(shown["edges"]) == len(shown["current"]) + 1
    assert not set(np.round(shown["edges"][1:-1], 12)) & set(np.round([*NORMAL, *values], 12))


def test_small_classes_are_recorded_as_one():
    found = of(Column({"a": 500, "b": 300, "c": 6, "d": 7}), Column({"a": 490, "b": 310, "c": 8, "d": 9}))
    assert found.detail["classes"] == ["a", "b", "all others"]
    lone = of(Column({"a": 500, "b": 300, "c": 6}), Column({"a": 490, "b": 310, "c": 8}))
    assert lone.detail["classes"] == ["a", "all others"], "what is left out could be computed"


def test_the_stability_index_stands_beside_what_it_is_without_drift():
    expected = stability_index.psi_without_drift(10, 1000, 700)
    assert expected == pytest.approx(9 * (1 / 1000 + 1 / 700))
    rng, found = np.random.default_rng(2), []
    for _ in range(200):
        one, other = number(rng.normal(size=1000)).values, number(rng.normal(size=700)).values
        found.append(stability_index.psi(*distributions.bin_counts(one, other, 10)[1:]))
    assert np.mean(found) == pytest.approx(expected, rel=0.15)
    assert stability_index.psi(np.array([50, 50]), np.array([50, 50])) == 0


def test_the_error_rates_of_an_endless_series_add_up_to_five_percent():
    spent = [month.alpha_of(position) for position in range(1, 100_000)]
    assert sum(spent) == pytest.approx(month.ERROR_RATE, rel=1e-4)
    assert sum(spent) <= month.ERROR_RATE


def columns(*pairs):
    return {f"f{at}": Compared(*(number(side) for side in pair)) for at, pair in enumerate(pairs)}


def test_the_outcome_of_a_month_is_that_of_its_worst_feature_and_names_what_has_no_data():
    several = columns((NORMAL, NORMAL), (NORMAL, []), (NORMAL, [1.0]))
    features = month.features_of(several, 0.03, Thresholds())
    assert [feature.alpha for feature in features] == [0.01] * 3
    assert month.outcome(features) == "too_few_rows"
    assert month.why(features) == "f1: the month has no rows"
    nothing = month.features_of(columns((NORMAL, []), ([], [])), 0.03, Thresholds())
    assert (month.outcome(nothing), month.why(nothing)) == ("no_data", "the month has no rows")


def test_stable_histories_are_called_drifted_in_five_percent_at_most():
    """Customers that stay from month to month: their months are no independent samples, and need not be."""
    rng, wrong = np.random.default_rng(11), 0
    for _ in range(40):
        reference = [rng.normal(size=300), rng.poisson(0.5, size=300) * 1.0]
        drifted = False
        for position in range(1, 5):
            alpha = month.alpha_of(position) / len(reference)
            for values, draw in zip(
                reference, (rng.normal, lambda size: rng.poisson(0.5, size)), strict=True
            ):
                now = np.where(rng.random(300) < 0.5, values, draw(size=300))
                one, other = distributions.of(values), distributions.of(now * 1.0)
                # The effect first, which costs little.
                if distributions.distance(one, other, one.sd) >= 0.05:
                    drifted |= anderson_darling.p_value(one, other) < alpha
        wrong += drifted
    assert wrong <= 2 + 3 * 2**0.5

"""Each rule of the gate at its boundary, with the reason that a user reads."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streamflow.gate.facts import Compared, Facts, Figures, SliceFigures
from streamflow.gate.rules import judge
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.settings import PromotionSettings

LIMITS = PromotionSettings()
BETTER = PromotionSettings(improvement="minimum")
CONTRACT = Contract(
    model="m",
    feature_service="s",
    join_key="id",
    features=(Feature("fee", "profile_fv", "float"), Feature("plan", "profile_fv", "string", False, ("a",))),
    views=(View("profile_fv", None),),
    threshold=0.5,
    label={},
    estimator="e",
    as_of="",
    known_at="",
    fingerprint="",
    drops=(),
    statistics={},
)
COMPARED = Compared(1000, 300, 0, 0, Figures(0.82, 0.03, 0.80), Figures(0.80, 0.03, 0.78), 0.02, 0.01, 0.03)
GOOD = Facts(
    version=4,
    champion=3,
    refused="",
    holdout_auc=(0.82, 0.80, 0.84),
    holdout_calibration=(0.03, 0.02, 0.06),
    compared=COMPARED,
    not_compared="",
    as_of=datetime(2024, 2, 29, tzinfo=UTC),
    champion_as_of=datetime(2024, 1, 31, tzinfo=UTC),
    slices=(SliceFigures("contract", "yearly", 200, 40, 0.7, 0.72, 200, 0.7),),
    online={"profile_fv": {"id": "text", "fee": "double precision", "plan": "text"}},
    contract=CONTRACT,
    latency_p99_ms=0.5,
    new_drops=("2024-02-29.1",),
)


def verdict(facts, name, limits=LIMITS):
    rule = next(rule for rule in judge(facts, limits) if rule.name == name)
    return rule.passed, rule.reason


def failed(facts, limits=LIMITS):
    return [rule.name for rule in judge(facts, limits) if not rule.passed]


def compared(difference, low, high, **changes):
    return replace(GOOD, compared=replace(COMPARED, difference=difference, low=low, high=high, **changes))


IMPROVED = "AUC 0.8200 against 0.8000 of version 3 on the same 1000 rows: {}"  # difference and interval


def test_a_good_challenger_passes_every_rule_with_a_reason_each():
    assert [(rule.name, rule.passed, rule.reason) for rule in judge(GOOD, LIMITS)] == [
        (
            "files and golden rows",
            True,
            "every file has its digest, and the golden rows reproduce in the serving runtime",
        ),
        ("online schema", True, "the online store has all 2 features"),
        (
            "better than chance",
            True,
            "AUC 0.8200 on its holdout (95 % interval 0.8000 to 0.8400); chance is 0.5",
        ),
        (
            "absolute calibration",
            True,
            "calibration error 0.0300 on its holdout (95 % interval 0.0200 to 0.0600);"
            " the interval must reach down to 0.05",
        ),
        ("not older", True, "trained as of 2024-02-29, the champion as of 2024-01-31"),
        (
            "improvement",
            True,
            IMPROVED.format("+0.0200 (95 % interval +0.0100 to +0.0300); at least +0.01 was asked for"),
        ),
        (
            "calibration",
            True,
            "calibration error 0.0300 against 0.0300 of the champion; 0.02 more is allowed",
        ),
        ("slices", True, "1 slices are above the floor of 0.5"),
        (
            "latency",
            True,
            "99 % of the model's single answers took at most 0.50 ms of CPU; the budget is 20 ms",
        ),
    ]


def test_the_first_version_needs_no_champion_but_has_to_know_something():
    first = replace(GOOD, champion=None, compared=None, champion_as_of=None)
    assert [rule.name for rule in judge(first, LIMITS)] == [
        "files and golden rows",
        "online schema",
        "better than chance",
        "absolute calibration",
        "slices",
        "latency",
    ]
    assert failed(first) == []
    assert failed(replace(first, holdout_auc=(0.53, 0.49, 0.57))) == ["better than chance"]


def test_a_version_that_cannot_be_loaded_fails_and_is_not_judged_further():
    broken = Facts(
        4,
        3,
        "its golden rows do not reproduce",
        None,
        None,
        None,
        "it is broken",
        None,
        None,
        (),
        {},
        None,
        None,
    )
    assert [(rule.name, rule.passed, rule.reason) for rule in judge(broken, LIMITS)] == [
        ("files and golden rows", False, "its golden rows do not reproduce"),
        ("improvement", False, "it cannot be compared with version 3: it is broken"),
    ]


# Better than chance.


@pytest.mark.parametrize(("low", "passes"), [(0.5, False), (0.5001, True), (math.nan, False)])
def test_the_interval_of_the_auc_has_to_be_above_chance(low, passes):
    assert verdict(replace(GOOD, holdout_auc=(0.6, low, 0.7)), "better than chance")[0] is passes


@pytest.mark.parametrize(
    ("low", "passes"), [(0.0, True), (0.05, True), (0.0501, False), (float("nan"), False)]
)
def test_probabilities_that_mean_something_else_are_refused_in_the_first_version_too(low, passes):
    facts = replace(GOOD, champion=None, compared=None, holdout_calibration=(0.08, low, 0.1))
    held, reason = verdict(facts, "absolute calibration")
    assert held is passes
    assert "calibration error 0.0800 on its holdout" in reason


# Not older.


def test_an_older_model_does_not_replace_a_newer_one():
    older = replace(GOOD, as_of=GOOD.champion_as_of, champion_as_of=GOOD.as_of)
    assert failed(older) == ["not older"]
    assert verdict(older, "not older")[1] == (
        "trained as of 2024-01-31, the champion as of 2024-02-29: an older model would replace a newer one."
        " Train a newer one; to go back to a version that was in production, use 'streamflow rollback'"
    )


def test_a_model_of_the_same_date_is_not_older_and_a_second_is_enough_to_be():
    assert verdict(replace(GOOD, as_of=GOOD.champion_as_of), "not older") == (
        True,
        "trained as of 2024-01-31, the champion as of 2024-01-31",
    )
    just_before = GOOD.champion_as_of - timedelta(seconds=1)
    assert not verdict(replace(GOOD, as_of=just_before), "not older")[0]


@pytest.mark.parametrize("unknown", ["as_of", "champion_as_of"])
def test_a_date_that_is_not_known_is_not_judged(unknown):
    assert "not older" not in [rule.name for rule in judge(replace(GOOD, **{unknown: None}), LIMITS)]


# Improvement.


def test_what_cannot_be_compared_does_not_pass_and_says_why():
    alone = replace(GOOD, compared=None, not_compared="the champion's files are gone")
    assert verdict(alone, "improvement") == (
        False,
        "it cannot be compared with version 3: the champion's files are gone",
    )
    assert "calibration" not in [rule.name for rule in judge(alone, LIMITS)]


@pytest.mark.parametrize(
    ("difference", "low", "passes", "why"),
    [
        (0.01, 0.001, True, "at least +0.01 was asked for"),
        (0.0099, 0.001, False, "at least +0.01 was asked for"),
        (0.01, 0.0, False, "the gain may be chance"),
        (0.012, -0.002, False, "the gain may be chance"),
        (0.004, -0.002, False, "at least +0.01 was asked for"),
        (-0.02, -0.03, False, "at least +0.01 was asked for"),
    ],
)
def test_a_challenger_has_to_be_better_by_enough_and_not_by_chance(difference, low, passes, why):
    figures = f"{difference:+.4f} (95 % interval {low:+.4f} to +0.0300)"
    assert verdict(compared(difference, low, 0.03), "improvement", BETTER) == (
        passes,
        IMPROVED.format(f"{figures}; {why}"),
    )


@pytest.mark.parametrize(
    ("rows", "positives", "judged"),
    [(1000, 10, True), (1000, 9, False), (1000, 990, True), (1000, 991, False)],
)
def test_too_few_rows_of_a_class_decide_nothing(rows, positives, judged):
    passed, reason = verdict(compared(0.3, 0.1, 0.5, rows=rows, positives=positives), "improvement")
    assert passed is judged
    few = IMPROVED.format("+0.3000 (95 % interval +0.1000 to +0.5000); too few rows of one class to judge")
    assert (reason == few) is not judged


def test_better_by_enough_is_enough_without_newer_data():
    again = replace(compared(0.01, 0.001, 0.02), new_drops=(), same_data=True)
    for limits in (LIMITS, BETTER):
        assert verdict(again, "improvement", limits) == (
            True,
            IMPROVED.format("+0.0100 (95 % interval +0.0010 to +0.0200); at least +0.01 was asked for"),
        )


def test_not_worse_and_a_newer_drop_are_enough_unless_an_improvement_is_asked_for():
    equal = compared(0.0, -0.0199, 0.005)
    figures = "+0.0000 (95 % interval -0.0199 to +0.0050)"
    assert verdict(equal, "improvement") == (
        True,
        IMPROVED.format(
            f"{figures}; not worse by more than 0.02, and trained on 1 drop(s) that the champion has not seen"
        ),
    )
    assert verdict(equal, "improvement", BETTER) == (
        False,
        IMPROVED.format(f"{figures}; at least +0.01 was asked for"),
    )


@pytest.mark.parametrize(
    ("low", "margin", "passes"),
    [(-0.02, 0.02, False), (-0.03, 0.02, False), (-0.03, 0.031, True), (0.0, 0.0, False), (0.001, 0.0, True)],
)
def test_what_may_be_worse_than_the_margin_does_not_pass(low, margin, passes):
    limits = PromotionSettings(not_worse_margin=margin)
    judged, reason = verdict(compared(0.0, low, 0.005), "improvement", limits)
    assert judged is passes
    assert (f"it may be worse by more than {margin:g}: the interval must lie above" in reason) is not passes


AGAIN = "not worse, but not trained on newer data ({}), so at least +0.01 was asked for"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        # As of March, without a drop of March.
        ({"new_drops": ()}, "the champion has seen all its drops"),
        # Another drop with the same rows, such as a correction that was taken back.
        ({"same_data": True}, "its training set equals the champion's"),
        ({"new_drops": (), "same_data": True}, "its training set equals the champion's"),
    ],
)
def test_equal_data_is_never_newer_whatever_its_date(changes, why):
    facts = replace(compared(0.0, -0.005, 0.005), as_of=datetime(2024, 3, 31, tzinfo=UTC), **changes)
    figures = "+0.0000 (95 % interval -0.0050 to +0.0050)"
    assert verdict(facts, "improvement") == (False, IMPROVED.format(f"{figures}; {AGAIN.format(why)}"))


def test_a_corrected_drop_of_the_champions_date_is_newer():
    corrected = replace(compared(0.0, -0.005, 0.005), as_of=GOOD.champion_as_of)
    assert failed(corrected) == []


def test_a_figure_that_is_no_number_never_passes():
    nan = math.nan
    assert "improvement" in failed(compared(nan, nan, nan))
    assert "improvement" in failed(compared(nan, nan, nan), BETTER)
    assert failed(replace(GOOD, holdout_auc=(nan, nan, nan))) == ["better than chance"]
    assert failed(replace(GOOD, latency_p99_ms=nan)) == ["latency"]
    assert failed(replace(GOOD, compared=replace(COMPARED, challenger=Figures(0.82, nan, 0.80)))) == [
        "calibration"
    ]


# Calibration.


@pytest.mark.parametrize(("error", "passes"), [(0.0, True), (0.05, True), (0.0501, False)])
def test_the_calibration_error_may_exceed_the_champions_by_the_tolerance(error, passes):
    facts = replace(GOOD, compared=replace(COMPARED, challenger=Figures(0.82, error, 0.80)))
    assert verdict(facts, "calibration") == (
        passes,
        f"calibration error {error:.4f} against 0.0300 of the champion; 0.02 more is allowed",
    )


# Slices.


def sliced(*parts):
    return replace(GOOD, slices=parts)


@pytest.mark.parametrize("auc", [0.5, 0.9])
def test_a_slice_at_the_floor_passes(auc):
    at_floor = sliced(SliceFigures("contract", "monthly", 300, 90, auc, None))
    assert verdict(at_floor, "slices") == (True, "1 slices are above the floor of 0.5")


def test_slices_below_the_floor_fail_by_name():
    low = sliced(
        SliceFigures("contract", "monthly", 300, 90, 0.4999, 0.9, 250, 0.1),
        SliceFigures("tenure", "under 12", 200, 90, 0.45, None),
    )
    assert verdict(low, "slices") == (
        False,
        "contract 'monthly': AUC 0.4999 on 300 rows, the floor is 0.5;"
        " tenure 'under 12': AUC 0.4500 on 200 rows, the floor is 0.5",
    )


@pytest.mark.parametrize(
    ("champion", "common", "passes"),
    [(0.75, 0.65, True), (0.75, 0.64, False), (0.75, None, True), (None, 0.3, True)],
)
def test_a_slice_may_be_worse_than_with_the_champion_by_the_tolerance(champion, common, passes):
    found = verdict(
        sliced(SliceFigures("contract", "monthly", 300, 90, 0.74, champion, 250, common)), "slices"
    )
    assert found == (
        (True, "1 slices are above the floor of 0.5")
        if passes
        else (
            False,
            "contract 'monthly': AUC 0.6400 against 0.7500 of the champion on 250 rows; 0.1 less is allowed",
        )
    )


def test_slices_with_few_rows_are_named_and_not_judged():
    rare = [SliceFigures("contract", value, 9, 1, None, None) for value in ("rare", "odd")]
    assert verdict(sliced(*rare, *GOOD.slices), "slices") == (
        True,
        "1 slices are above the floor of 0.5; too few rows to judge: contract 'rare', contract 'odd'",
    )
    assert verdict(sliced(*rare), "slices")[1].startswith("0 slices are above")


def test_a_feature_repo_without_slices_passes_and_says_so():
    assert verdict(sliced(), "slices") == (True, "the feature repo declares no slices (slices.py)")


# The online store and the latency.


@pytest.mark.parametrize(
    ("online", "missing"),
    [
        ({"profile_fv": {"fee": "double precision"}}, "'profile_fv' has no column 'plan'"),
        ({}, "there is no online table 'profile_fv'"),
        (
            {"profile_fv": {"fee": "text", "plan": "bigint"}},
            "'profile_fv.fee' is text, the model takes float; 'profile_fv.plan' is bigint, the model takes string",
        ),
    ],
)
def test_what_the_online_store_lacks_is_named_with_the_next_step(online, missing):
    assert verdict(replace(GOOD, online=online), "online schema") == (
        False,
        f"{missing}. Run 'streamflow features apply' and 'streamflow materialize'",
    )


@pytest.mark.parametrize(("milliseconds", "passes"), [(20.0, True), (20.01, False)])
def test_a_model_has_to_stay_within_the_latency_budget(milliseconds, passes):
    assert verdict(replace(GOOD, latency_p99_ms=milliseconds), "latency") == (
        passes,
        f"99 % of the model's single answers took at most {milliseconds:.2f} ms of CPU; the budget is 20 ms",
    )


def test_a_latency_that_was_not_measured_is_not_judged():
    assert "latency" not in [rule.name for rule in judge(replace(GOOD, latency_p99_ms=None), LIMITS)]


def test_the_number_of_slices_that_were_judged_is_named():
    part = GOOD.slices[0]
    judged, reason = verdict(
        sliced(part, replace(part, value="monthly"), replace(part, challenger_auc=None)), "slices"
    )
    assert judged
    assert reason.startswith("2 slices are above the floor")

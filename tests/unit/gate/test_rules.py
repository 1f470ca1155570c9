"""Each rule of the gate, by facts made up for it."""

import math
from dataclasses import asdict, replace
from datetime import UTC, datetime

from streamflow.gate.facts import Compared, Facts, Figures, SliceFigures
from streamflow.gate.page import page
from streamflow.gate.rules import judge
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.settings import PromotionSettings

LIMITS = PromotionSettings()
FRESHER = PromotionSettings(improvement="fresher")
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
COMPARED = Compared(1000, 300, 0, 0, Figures(0.82, 0.03), Figures(0.80, 0.03), 0.02, 0.01, 0.03)
GOOD = Facts(
    version=4,
    champion=3,
    refused="",
    holdout_auc=(0.82, 0.80, 0.84),
    compared=COMPARED,
    not_compared="",
    as_of=datetime(2024, 2, 29, tzinfo=UTC),
    champion_as_of=datetime(2024, 1, 31, tzinfo=UTC),
    slices=(SliceFigures("contract", "yearly", 200, 40, 0.7, 0.72, 200, 0.7),),
    online={"profile_fv": {"id": "text", "fee": "double precision", "plan": "text"}},
    contract=CONTRACT,
    latency_p99_ms=0.5,
)


def verdict(facts, name, limits=LIMITS):
    rule = next(rule for rule in judge(facts, limits) if rule.name == name)
    return rule.passed, rule.reason


def failed(facts, limits=LIMITS):
    return [rule.name for rule in judge(facts, limits) if not rule.passed]


def compared(difference, low, high, **changes):
    return replace(GOOD, compared=replace(COMPARED, difference=difference, low=low, high=high, **changes))


def test_a_good_challenger_passes_every_rule_with_a_reason_each():
    found = judge(GOOD, LIMITS)
    assert len(found) == 8
    assert all(rule.passed and rule.reason for rule in found)


def test_the_first_version_needs_no_champion_but_has_to_know_something():
    first = replace(GOOD, champion=None, compared=None, champion_as_of=None)
    assert failed(first) == []
    assert failed(replace(first, holdout_auc=(0.53, 0.49, 0.57))) == ["better than chance"]


def test_a_gain_below_the_minimum_is_not_enough():
    passed, reason = verdict(compared(0.004, 0.001, 0.007), "improvement")
    assert not passed
    assert "+0.0040" in reason
    assert "at least +0.01 was asked for" in reason


def test_a_gain_that_may_be_chance_is_not_enough():
    passed, reason = verdict(compared(0.012, -0.002, 0.03), "improvement")
    assert not passed
    assert "may be chance" in reason


def test_not_worse_and_fresher_is_enough_when_the_settings_say_so():
    equal = compared(0.0, -0.005, 0.005)
    assert verdict(equal, "improvement", FRESHER)[0]
    assert not verdict(equal, "improvement")[0]
    stale = replace(equal, as_of=equal.champion_as_of)
    assert "not trained on newer data" in verdict(stale, "improvement", FRESHER)[1]
    worse = compared(-0.02, -0.03, -0.015)
    assert "(worse)" in verdict(worse, "improvement", FRESHER)[1]


def test_too_few_rows_of_a_class_decide_nothing():
    assert "too few rows" in verdict(compared(0.3, 0.1, 0.5, rows=400, positives=4), "improvement")[1]


def test_what_cannot_be_compared_does_not_pass_and_says_why():
    alone = replace(GOOD, compared=None, not_compared="the champion's files are gone")
    assert verdict(alone, "improvement") == (
        False,
        "it cannot be compared with version 3: the champion's files are gone",
    )


def test_worse_calibration_fails():
    worse = replace(GOOD, compared=replace(COMPARED, challenger=Figures(0.82, 0.06)))
    assert failed(worse) == ["calibration"]


def test_a_slice_below_the_floor_or_much_worse_than_before_fails_by_name():
    low = SliceFigures("contract", "monthly", 300, 90, 0.45, None)
    assert "contract 'monthly': AUC 0.4500 on 300 rows" in verdict(replace(GOOD, slices=(low,)), "slices")[1]
    fallen = SliceFigures("contract", "monthly", 300, 90, 0.74, 0.75, 250, 0.60)
    assert (
        "AUC 0.6000 against 0.7500 of the champion on 250 rows"
        in verdict(replace(GOOD, slices=(fallen,)), "slices")[1]
    )


def test_a_slice_with_few_rows_is_named_and_not_judged():
    passed, reason = verdict(
        replace(GOOD, slices=(*GOOD.slices, SliceFigures("contract", "rare", 9, 1, None, None))), "slices"
    )
    assert passed
    assert reason == "1 slices are above the floor of 0.5; too few rows to judge: contract 'rare'"


def test_what_the_online_store_lacks_is_named():
    assert (
        "has no column 'plan'"
        in verdict(replace(GOOD, online={"profile_fv": {"fee": "double precision"}}), "online schema")[1]
    )
    assert "no online table 'profile_fv'" in verdict(replace(GOOD, online={}), "online schema")[1]
    wrong = {"profile_fv": {"fee": "text", "plan": "text"}}
    assert (
        "'profile_fv.fee' is text, the model takes float"
        in verdict(replace(GOOD, online=wrong), "online schema")[1]
    )


def test_a_slow_model_fails():
    assert failed(replace(GOOD, latency_p99_ms=25.0)) == ["latency"]


def test_a_version_that_cannot_be_loaded_fails_and_is_not_judged_further():
    broken = Facts(
        4, 3, "its golden rows do not reproduce", None, None, "it is broken", None, None, (), {}, None, None
    )
    assert failed(broken) == ["files and golden rows", "improvement"]
    assert "slices" not in [rule.name for rule in judge(broken, LIMITS)]


def test_an_older_model_does_not_replace_a_newer_one():
    older = replace(GOOD, as_of=GOOD.champion_as_of, champion_as_of=GOOD.as_of)
    assert failed(older) == ["not older"]
    reason = verdict(older, "not older")[1]
    assert "trained as of 2024-01-31, the champion as of 2024-02-29" in reason
    assert "streamflow rollback" in reason
    assert verdict(replace(GOOD, as_of=GOOD.champion_as_of), "not older")[0]
    assert "not older" not in [rule.name for rule in judge(replace(GOOD, champion_as_of=None), LIMITS)]


def test_a_figure_that_is_no_number_never_passes():
    nan = math.nan
    assert "improvement" in failed(compared(nan, nan, nan))
    assert failed(replace(GOOD, holdout_auc=(nan, nan, nan))) == ["better than chance"]
    assert failed(replace(GOOD, latency_p99_ms=nan)) == ["latency"]


def test_the_page_says_what_the_report_says_and_lets_nothing_in():
    rules = [asdict(rule) for rule in judge(replace(GOOD, refused="<script>alert(1)</script>"), LIMITS)]
    report = {
        "model": "m",
        "version": 4,
        "champion": 3,
        "verdict": "failed",
        "judged_at": "now",
        "rules": rules,
        "facts": {"slices": [asdict(item) for item in GOOD.slices]},
        "limits": LIMITS.model_dump(),
    }
    html = page(report)
    assert "<script>" not in html
    assert "yearly" in html
    assert "at least +0.01 was asked for" in html
    assert "http" not in html

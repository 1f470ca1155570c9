"""What a report says in words, and how it writes numbers."""

from dataclasses import replace

import pytest

import made_verdicts as made
from streamflow.monitoring.report import feature_words, rounding
from streamflow.monitoring.report.sentence import sentence


def said(verdicts):
    return sentence(verdicts, lambda number: f"{number:,} customers")


def test_a_stable_month_says_since_when_and_that_there_is_nothing_to_do():
    verdicts = made.verdicts(3, drifts=tuple(made.drift(n) for n in (1, 2, 3)))
    assert said(verdicts) == (
        "The 7,032 customers as of 2024-03-31 were compared with the 6,991 that version 3 of streamflow_churn was trained"
        " on, as of 2023-12-31: none of 6 distributions drifted, as in every month since 2024-01-31; no harm to its"
        " predictions is shown: there is nothing to do."
    )


def test_drift_names_its_features_and_its_first_month():
    text = said(made.verdicts(6))
    assert "2 of 6 distributions drifted (internet_service, monthly_fee), with drift since 2024-05-31" in text
    assert text.endswith("find out whether the world or the data changed (see the features below).")


def test_drift_that_ended_in_between_began_after_that():
    drifts = (made.drift(1, "drifted"), made.drift(2), made.drift(3, "drifted"))
    assert "with drift since 2024-03-31" in said(made.verdicts(3, drifts=drifts))


def test_a_corrected_month_counts_by_its_newest_verdict():
    drifts = (made.drift(1, "drifted"), made.drift(2, "drifted"), made.drift(3, as_of=made.month(1)))
    assert "with drift since 2024-02-29" in said(made.verdicts(2, drifts=drifts))


def test_many_features_are_not_all_named():
    features = tuple(made.feature(f"f{n}", "drifted") for n in range(8))
    assert "(f0, f1, f2, f3, f4 and 3 more)" in said(made.verdicts(2, features=features))


@pytest.mark.parametrize(
    ("basis", "by"), [("realized", "by its labels"), ("estimated", "by the estimate from its scores")]
)
def test_harm_that_was_shown_once_stays_and_asks_for_a_training(basis, by):
    harms = (made.harm(1, basis=basis), made.harm(2, "harmful", basis), made.harm(3, basis=basis))
    text = said(made.verdicts(3, harms=harms))
    assert (
        f"worse than is tolerated since 2024-02-29, {by}: train a new version (streamflow train), or roll back"
        in text
    )


def test_a_month_that_lacks_data_says_why_and_nothing_is_guessed():
    drift = made.drift(1, "no_data", why="the month has no rows.")
    text = said(made.verdicts(1, drifts=(drift,), features=(), harms=()))
    assert "cannot be said as of 2024-01-31 (the month has no rows)" in text
    assert "harm to its predictions has not been judged" in text
    assert "judge the month again" in text


def test_too_few_rows_are_no_verdict():
    text = said(
        made.verdicts(
            1, drifts=(made.drift(1, "too_few_rows", rows=1),), harms=(made.harm(1, "too_few_rows"),)
        )
    )
    assert "too few rows for a verdict on drift" in text
    assert "not enough data for a verdict on harm" in text
    assert "wait for a month with more rows" in text


def test_a_month_whose_drift_was_not_judged_says_so():
    text = said(made.verdicts(1, drifts=(), features=()))
    assert text.startswith(
        "Whether the inputs of version 3 of streamflow_churn drifted has not been judged as of 2024-01-31"
    )


def about(*arguments, **changes):
    return " ".join(feature_words.about(made.feature(*arguments, **changes))).replace(rounding.UNBROKEN, " ")


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        (("x", "drifted"), "Drifted by 0.14 sd (p = 3.1 × 10⁻⁹, below its limit 0.00051)."),
        (
            ("x", "stable"),
            "The difference of 0.021 sd may be chance (p = 0.24, not below its limit 0.00051).",
        ),
        (("x", "stable", "category"), "The difference of 2.1 points may be chance"),
        (("x", "no_data"), "There is nothing to compare."),
        (("x", "too_few_rows"), "There is no test of the values."),
    ],
)
def test_an_outcome_has_its_reason(feature, text):
    assert about(*feature).startswith(text)


def test_a_difference_that_is_too_small_to_count_is_no_drift():
    assert "is not chance (p = 1.0 × 10⁻⁹, below its limit 0.00051), but too small" in about(
        "x", p_value=1e-9
    )


def test_too_few_rows_with_a_test_say_what_is_seen():
    assert about("x", "too_few_rows", p_value=0.2, effect=0.3).startswith(
        "The values differ by 0.3 sd; the month has too few"
    )


def test_drift_of_absence_is_not_said_of_the_values():
    absence = {"reference": 0.01, "current": 0.2, "outcome": "drifted", "p_value": 1e-12, "alpha": 0.0003}
    text = about("x", "drifted", effect=0.01, since=made.month(1), detail={"absence": absence})
    assert (
        "Drifted since 2024-01-31 (p = 3.1 × 10⁻⁹, below its limit 0.00051): the share without a value."
        in text
    )
    assert (
        "Without a value: 1.0 % of the training set, 20.0 % of the month, which is drift (p = 1.0 × 10⁻¹²"
        in text
    )
    assert "None" not in about("x", "drifted", effect=None, detail={"absence": absence})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (7043, "7,043"),
        (-0.5, "-0.5"),
        (1e-9, "1.00 × 10⁻⁹"),
        (None, "–"),
    ],
)
def test_figures_are_rounded(value, text):
    assert rounding.figure(value).replace(rounding.UNBROKEN, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.50"), (0.0123, "0.012"), (0.00051, "0.00051"), (3e-7, "3.0 × 10⁻⁷"), (0.0, "below 10⁻³⁰⁰")],
)
def test_probabilities_are_never_written_as_none_at_all(value, text):
    assert rounding.probability(value).replace(rounding.UNBROKEN, " ") == text


def test_a_small_share_is_not_written_as_none():
    assert rounding.percent(0.0001).replace(rounding.UNBROKEN, " ") == "under 0.1 %"
    assert rounding.percent(0.0) == f"0.0{rounding.UNBROKEN}%"


def test_a_version_may_be_judged_again_as_another():
    assert "version 4 of" in said(replace(made.verdicts(2), version=4))

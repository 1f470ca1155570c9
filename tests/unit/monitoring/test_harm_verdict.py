"""What is called harm, how often that is wrong, and how soon harm is shown."""

import numpy as np
import pytest

from streamflow.monitoring.harm import losses
from streamflow.monitoring.harm.bounds import binned
from streamflow.monitoring.harm.verdict import (
    ERROR,
    HARMFUL,
    NO_DATA,
    NOT_SHOWN,
    REFERENCE_ERROR,
    TOO_FEW_ROWS,
    Reference,
    alpha_of,
    judge,
)

TOLERANCE = 0.01
MEAN = 1 / 7
"""Expected loss of the simulated version."""


def draw(rng, shape):
    scores = rng.beta(0.8, 2.4, shape)
    return (scores - (rng.random(shape) < scores)) ** 2


def reference_of(holdout):
    return Reference(len(holdout), float(holdout.mean()), float(holdout.std()))


def first_harm(rng, customers, months, rise):
    """First month that is called harmful: by the test, and by comparing means; None if there is none.

    The customers stay, and so do nine of ten of their losses, among them those of the holdout, which is a fifth of
    them. The expected loss of each month is `MEAN + rise`.
    """
    first = draw(rng, customers)
    holdout = first[: customers // 5]
    reference, found, naive = reference_of(holdout), None, None
    for month in range(1, months + 1):
        now = np.where(rng.random(customers) < 0.9, first, draw(rng, customers))
        now[rng.random(customers) < rise / (1 - MEAN)] = 1
        if naive is None and now.mean() > holdout.mean() + TOLERANCE:
            naive = month
        if judge(reference, binned(now), month, TOLERANCE).verdict == HARMFUL:
            found = month
            break
    return found, naive


def test_a_rise_by_the_tolerance_is_hardly_ever_called_harm_in_24_months():
    rng = np.random.default_rng(3)
    histories = [first_harm(rng, 1000, 24, TOLERANCE) for _ in range(100)]
    assert sum(found is not None for found, _ in histories) <= 100 * ERROR
    # Otherwise these histories would prove nothing.
    assert sum(naive is not None for _, naive in histories) > 50


def test_a_rise_of_a_third_is_shown_within_two_months():
    rng = np.random.default_rng(4)
    found = [first_harm(rng, 7000, 2, 0.06)[0] for _ in range(12)]
    assert None not in found


def test_all_verdicts_of_a_version_together_spend_the_error_rate():
    spent = 2 * sum(alpha_of(position) for position in range(1, 100_000))
    assert spent + REFERENCE_ERROR == pytest.approx(ERROR, abs=1e-6)
    assert spent + REFERENCE_ERROR < ERROR


def test_a_verdict_says_what_it_compared():
    reference = Reference(1400, 0.14, 0.2)
    rng = np.random.default_rng(5)
    same, worse = draw(rng, 7000), draw(rng, 7000)
    worse[:700] = 1
    harmless, harmful = (judge(reference, binned(each), 1, TOLERANCE) for each in (same, worse))
    assert (harmless.verdict, harmful.verdict) == (NOT_SHOWN, HARMFUL)
    assert harmful.loss_low > harmful.reference_high + TOLERANCE
    assert harmful.reference_high > harmful.reference_loss == 0.14
    assert harmful.loss == pytest.approx(worse.mean())
    assert f"at least {harmful.loss_low:.4f}" in harmful.why
    assert "harm would show from about" in harmless.why


def test_a_larger_tolerance_is_no_harm():
    worse = draw(np.random.default_rng(6), 7000)
    worse[:700] = 1
    assert judge(Reference(1400, 0.14, 0.2), binned(worse), 1, 0.2).verdict == NOT_SHOWN


@pytest.mark.parametrize(("rows", "holdout"), [(99, 1000), (1000, 99)])
def test_few_rows_get_no_verdict_however_high_their_losses_are(rows, holdout):
    found = judge(Reference(holdout, 0.1, 0.1), binned(np.ones(rows)), 1, TOLERANCE)
    assert (found.verdict, found.loss, found.loss_low) == (TOO_FEW_ROWS, 1.0, None)


def test_without_reference_or_rows_there_is_no_data_and_the_reason_is_given():
    found = judge(None, binned(np.ones(1000)), 1, TOLERANCE)
    assert (found.verdict, found.reference_loss) == (NO_DATA, None)
    assert "earlier release" in found.why
    empty = judge(Reference(1000, 0.1, 0.1), binned(np.array([])), 1, TOLERANCE)
    assert (empty.verdict, empty.why) == (NO_DATA, "the month has no rows")
    said = judge(Reference(1000, 0.1, 0.1), binned(np.array([])), 1, TOLERANCE, "its scores are deleted")
    assert said.why == "its scores are deleted"


def test_the_holdout_of_a_contract_is_the_reference():
    holdout = {"rows": 300, "positives": 70, "losses": {"brier": [0.15, 0.2], "log_loss": [0.5, 0.4]}}
    assert Reference.of_holdout(holdout) == Reference(300, 0.15, 0.2)
    assert Reference.of_holdout({}) is None


def test_expected_losses_equal_those_by_labels_while_scores_mean_what_they_say():
    rng = np.random.default_rng(7)
    scores = rng.beta(0.8, 2.4, 200_000)
    labels = rng.random(len(scores)) < scores
    assert losses.estimated(scores).mean == pytest.approx(losses.realized(scores, labels).mean, abs=0.002)
    assert losses.realized(np.array([0.2, 0.9]), np.array([True, False])).mean == pytest.approx(
        (0.8**2 + 0.9**2) / 2
    )

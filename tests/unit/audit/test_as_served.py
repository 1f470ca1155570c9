"""A past answer is refused for the reasons that `/predict` refuses for."""

from datetime import UTC, datetime, timedelta

import pytest

from streamflow.audit.as_served import ServedView, refusal
from streamflow.eligibility import Policy
from streamflow.model_version.contract import Contract, Feature, View

MARCH = datetime(2024, 3, 31, tzinfo=UTC)
DAY = timedelta(days=1)
CONTRACT = Contract(
    model="m",
    feature_service="s",
    join_key="user_id",
    features=(Feature("fee", "bills", "float"), Feature("tv", "plans", "float", nullable=True)),
    views=(View("bills", 10 * DAY.total_seconds()), View("plans")),
    threshold=0.5,
    label={},
    estimator="e",
    as_of="",
    known_at="",
    fingerprint="",
)
NEWEST_ONLY = Policy(require_newest=True)


def served(fee=1.0, tv=None, bills=MARCH, plans=MARCH):
    return (
        ServedView("bills", {} if bills is None else {"fee": fee}, bills, bills, "d", 1, MARCH),
        ServedView("plans", {} if plans is None else {"tv": tv}, plans, plans, "d", 1, MARCH),
    )


def test_complete_and_fresh_values_are_answered():
    assert refusal(CONTRACT, served(), NEWEST_ONLY) == ""


@pytest.mark.parametrize(
    ("views", "policy", "says"),
    [
        (served(bills=None, plans=None), NEWEST_ONLY, "missing_features: no row in bills, plans"),
        (served(plans=None), NEWEST_ONLY, "missing_features: no row in plans"),
        (served(fee=None), NEWEST_ONLY, "missing_features: no value of fee"),
        (
            served(bills=MARCH - DAY),
            NEWEST_ONLY,
            "stale_features: bills is of 2024-03-30, the newest was 2024-03-31",
        ),
        (
            served(bills=MARCH - 11 * DAY),
            Policy(require_newest=False),
            "stale_features: bills is of 2024-03-20, the newest was 2024-03-31",
        ),
    ],
)
def test_absent_and_stale_values_are_refused(views, policy, says):
    assert refusal(CONTRACT, views, policy) == says


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_a_number_that_predict_refuses_is_refused_of_a_past_answer_too(value):
    assert refusal(CONTRACT, served(fee=value), NEWEST_ONLY) == "missing_features: no value of fee"
    assert refusal(CONTRACT, served(tv=value), NEWEST_ONLY) == "missing_features: no value of tv"


def test_where_ages_are_measured_by_the_wall_clock_a_past_answer_is_judged_at_its_moment():
    just_in_time = Policy(require_newest=False, now=(MARCH + 10 * DAY).timestamp())
    too_late = Policy(require_newest=False, now=(MARCH + 11 * DAY).timestamp())
    assert refusal(CONTRACT, served(), just_in_time) == ""
    assert refusal(CONTRACT, served(), too_late).startswith("stale_features: bills")

"""Which differences of a training set the months that were dropped explain."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.audit.reproduce.without_months import explained
from streamflow.erasure.months import Forgotten
from streamflow.model_version.contract import Feature
from streamflow.model_version.training_set import LABEL, TrainingSet

MADE = "2024-04-01T00:00:00+00:00"
GONE = Forgotten(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 4, 2, tzinfo=UTC))
USERS = ["ada", "bob", "cy"]


@dataclass(frozen=True)
class _Contract:
    """What is read of a contract."""

    as_of: str = "2024-02-29T00:00:00+00:00"
    known_at: str = MADE


def rows(frame):
    moment = datetime(2024, 2, 29, tzinfo=UTC)
    features = (
        Feature("fee", "fees_fv", "float", True, ()),
        Feature("plan", "plans_fv", "string", False, ()),
    )
    return TrainingSet(frame, "user_id", features, (), moment, moment, moment, "f", {})


def frame(fees=(1.5, 2.5, float("nan")), plans=("a", "b", "a"), labels=(True, False, False)):
    return pd.DataFrame({"user_id": USERS, "fee": fees, "plan": plans, LABEL: labels})


@given(gone=st.sets(st.sampled_from(USERS), min_size=1), absent=st.sets(st.sampled_from(USERS)))
def test_rows_and_values_that_are_absent_are_explained(gone, absent):
    now = frame()
    now.loc[now["user_id"].isin(absent), "fee"] = float("nan")
    now = now[~now["user_id"].isin(gone)]
    assert GONE.words in explained(GONE, _Contract(), rows(frame()), rows(now))


@pytest.mark.parametrize(
    "changes",
    [
        {"fees": (1.5, 9.0, float("nan"))},
        {"fees": (1.5, 2.5, 9.0)},
        {"plans": ("a", "b", "b")},
        {"labels": (True, True, False)},
    ],
)
def test_a_value_that_changed_is_not_explained(changes):
    assert explained(GONE, _Contract(), rows(frame()), rows(frame(**changes))) == ""


def test_a_row_that_was_not_there_is_not_explained():
    fewer = rows(frame()[:2])
    assert explained(GONE, _Contract(), fewer, rows(frame())) == ""


def test_a_run_that_was_made_later_is_not_explained():
    later = _Contract(known_at="2024-04-03T00:00:00+00:00")
    assert explained(GONE, later, rows(frame()), rows(frame()[:2])) == ""


def test_a_run_of_a_month_that_is_gone_is_explained_whatever_is_left_of_it():
    old = _Contract(as_of="2024-01-31T00:00:00+00:00")
    assert GONE.words in explained(GONE, old, None, rows(frame()))


def test_without_a_stored_set_nothing_can_be_told_of_a_run_made_before():
    assert GONE.words in explained(GONE, _Contract(), None, rows(frame()))

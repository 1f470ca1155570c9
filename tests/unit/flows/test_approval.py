"""When a person is asked about a version, and what the answer asks for."""

from datetime import date

import pytest

from streamflow.errors import UsageError
from streamflow.flows.approval import is_wanted, parameters, question
from streamflow.flows.months import ends_of_months
from streamflow.flows.said import Said

TRAINED = {"version": 3, "promoted": False, "gate": "passed", "auc": 0.8123, "why": "passed the gate"}


def test_a_version_that_passed_the_gate_waits_for_a_person():
    assert is_wanted("manual", Said("done", TRAINED))
    assert "Version 3 passed the gate" in question(TRAINED)
    assert "0.8123" in question(TRAINED)


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        ("automatic", {}),
        ("manual", {"gate": "failed"}),
        ("manual", {"promoted": True}),
        ("manual", {"version": None, "gate": ""}),
    ],
)
def test_nobody_is_asked_if_there_is_nothing_to_decide(policy, changes):
    assert not is_wanted(policy, Said("done", TRAINED | changes))


def test_nobody_is_asked_about_an_idle_training():
    assert not is_wanted("manual", Said("done", {"idle": "There is no drop to train on."}))


def test_the_ledger_will_name_prefect_and_the_person():
    asked = parameters(3, "good", "ada", "prefect-1")
    assert asked == {
        "STREAMFLOW_REQUEST__VERSION": "3",
        "STREAMFLOW_REQUEST__WHY": "good",
        "STREAMFLOW_REQUEST__BY": "prefect:ada",
        "STREAMFLOW_REQUEST__KEY": "prefect-1",
    }


def test_a_range_of_months_has_the_last_day_of_each():
    assert ends_of_months(date(2023, 12, 5), date(2024, 2, 1)) == [
        date(2023, 12, 31),
        date(2024, 1, 31),
        date(2024, 2, 29),
    ]
    assert ends_of_months(date(2024, 2, 29), date(2024, 2, 1)) == [date(2024, 2, 29)]


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (date(2024, 2, 1), date(2024, 1, 31), "before the first"),
        (date(2000, 1, 1), date(2020, 1, 1), "at most 240"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(first, last, message):
    with pytest.raises(UsageError, match=message):
        ends_of_months(first, last)

"""What starts a scheduled training under each policy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streamflow import settings
from streamflow.errors import UsageError
from streamflow.monitoring.harm.retrain import Harm, InProduction, decide
from streamflow.settings import RetrainSettings

NOW = datetime(2024, 6, 30, tzinfo=UTC)
HARM = Harm(12, "realized", datetime(2024, 5, 31, tzinfo=UTC), 0.24, 0.21, 0.16, 0.01)
SERVED = InProduction(3, NOW - timedelta(days=90), NOW)
HARMFUL = replace(SERVED, harm=HARM)
ON_HARM = RetrainSettings(policy="on_harm")
UP_TO_A_QUARTER = RetrainSettings(policy="on_harm", max_age_days=89)


def starts(rules, production, *, new_drop):
    return decide(rules, production, new_drop=new_drop).trains


@pytest.mark.parametrize("production", [None, SERVED, HARMFUL])
def test_by_default_a_new_drop_starts_a_training_and_nothing_else_does(production):
    rules = RetrainSettings()
    assert starts(rules, production, new_drop=True)
    assert not starts(rules, production, new_drop=False)
    assert decide(rules, production, new_drop=True).because("trained") == "trained"


def test_on_harm_a_new_drop_alone_starts_none():
    found = decide(ON_HARM, SERVED, new_drop=True)
    assert (found.trains, found.facts) == (False, {})
    assert found.why == "a drop is new, but monitoring shows no new harm by version 3"


@pytest.mark.parametrize("new_drop", [True, False])
def test_harm_starts_a_training_and_the_trail_gets_the_verdict(new_drop):
    found = decide(ON_HARM, HARMFUL, new_drop=new_drop)
    assert found.trains
    assert found.because("trained as of 2024-05-31") == (
        "trained as of 2024-05-31, because version 3 does harm: its realized loss as of 2024-05-31 is at least 0.2100,"
        " more than 0.1700 (verdict 12)"
    )
    assert found.facts == {
        "answers_harm": {
            "harm_id": 12,
            "basis": "realized",
            "as_of": "2024-05-31",
            "loss": 0.24,
            "loss_low": 0.21,
            "reference_high": 0.16,
            "tolerance": 0.01,
        }
    }


def test_without_a_version_in_production_a_new_drop_starts_a_training():
    assert decide(ON_HARM, None, new_drop=True).why == "no version is in production"
    # Otherwise a version that waits for a person would be trained again each night.
    assert not starts(ON_HARM, None, new_drop=False)


def test_a_version_that_is_too_old_is_trained_anew_on_the_next_drop():
    found = decide(UP_TO_A_QUARTER, SERVED, new_drop=True)
    assert found.trains
    assert found.why == "version 3 was trained 90 days ago, more than STREAMFLOW_RETRAIN__MAX_AGE_DAYS=89"
    assert not starts(UP_TO_A_QUARTER, SERVED, new_drop=False)


def test_a_version_that_is_young_enough_or_of_unknown_age_is_not():
    assert not starts(RetrainSettings(policy="on_harm", max_age_days=90), SERVED, new_drop=True)
    assert not starts(UP_TO_A_QUARTER, replace(SERVED, trained_at=None), new_drop=True)


@pytest.mark.parametrize(
    ("name", "text"), [("POLICY", "sometimes"), ("MAX_AGE_DAYS", "0"), ("MAX_AGE_DAYS", "never")]
)
def test_what_is_no_policy_and_no_age_is_refused_by_name(monkeypatch, name, text):
    monkeypatch.setenv(f"STREAMFLOW_RETRAIN__{name}", text)
    with pytest.raises(UsageError) as refused:
        settings.load()
    assert f"STREAMFLOW_RETRAIN__{name}" in refused.value.details[0]

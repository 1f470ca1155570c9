"""The flow of a month answers harm that it has shown, where harm alone starts a training."""

import pytest

from streamflow.flows.harm import is_answered
from streamflow.flows.said import Said

SHOWN, NOT_SHOWN = Said("done", facts={"harm_id": 7}), Said("done", facts={"harm_id": None})


@pytest.mark.parametrize(
    ("policy", "monitored", "answered"),
    [
        ("on_harm", SHOWN, True),
        ("on_harm", NOT_SHOWN, False),
        ("on_harm", Said("done", facts={}), False),
        ("on_harm", None, False),
        ("every_drop", SHOWN, False),
    ],
)
def test_only_shown_harm_starts_another_training_and_only_on_harm(policy, monitored, answered):
    assert is_answered(policy, monitored) is answered

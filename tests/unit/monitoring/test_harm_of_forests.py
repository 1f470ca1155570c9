"""Harm is shown where the mechanism changes, and nowhere else, with a forest too: `make harm-histories`.

In 12 histories of each kind something drifts from month 6 on: columns that have no part in the mechanism, or the
mechanism itself, while the columns stay as they are.
"""

import os
from itertools import cycle

import pytest
from simulated_histories import Model, months

from streamflow.monitoring.harm import losses
from streamflow.monitoring.harm.verdict import HARMFUL, Reference, judge
from streamflow.settings.monitoring import MonitoringSettings
from streamflow.training import holdout

pytestmark = [
    pytest.mark.skipif(
        "HARM_HISTORIES" not in os.environ, reason="takes minutes; `make harm-histories` runs it"
    ),
    pytest.mark.timeout(0),
    pytest.mark.parametrize("estimator", ["logistic_regression", "random_forest"]),
]
HISTORIES = int(os.environ.get("HARM_HISTORIES") or "12")
USERS, MONTHS, FROM = 7000, 12, 6
TOLERANCE = MonitoringSettings().harm_tolerance
HARMLESS = (
    {"skips_7d": 0.3},
    {"avg_session_mins_7d": -0.2},
    {"unique_devices_30d": 0.1},
    {"skips_7d": -0.2, "avg_session_mins_7d": 0.2},
)
"""Drift of columns on which churn does not depend, a month."""
HARMFUL_AMOUNTS = (0.75, 0.85, 1.0)


def harmful_months(estimator, seed, **drift):
    """The months that say `harmful`, before their labels are known (`estimated`) and after (`realized`)."""
    drawn = months(USERS, MONTHS, seed, **drift)
    model = Model(next(drawn), estimator)
    described = holdout.describe(model.held_labels, model.held_scores)
    reference = Reference.of_holdout(described)
    found = {"estimated": [], "realized": []}
    for position, frame in enumerate(drawn, start=1):
        scores, labels = model.scored(frame)
        for basis, month in (
            ("estimated", losses.estimated(scores)),
            ("realized", losses.realized(scores, labels)),
        ):
            if judge(reference, month, position, TOLERANCE).verdict == HARMFUL:
                found[basis].append(position)
    return found


def test_a_drift_of_columns_without_effect_is_never_called_harmful(estimator):
    for seed, drift in zip(range(2000, 2000 + HISTORIES), cycle(HARMLESS), strict=False):
        found = harmful_months(estimator, seed, drift=drift, drift_from=dict.fromkeys(drift, FROM))
        print(f"{estimator}, seed {seed}, {drift}: {found}")
        assert found == {"estimated": [], "realized": []}


def test_a_concept_drift_is_called_harmful_within_two_months_of_labels(estimator):
    for seed, amount in zip(range(3000, 3000 + HISTORIES), cycle(HARMFUL_AMOUNTS), strict=False):
        found = harmful_months(estimator, seed, concept_drift=amount, concept_from=FROM)
        print(f"{estimator}, seed {seed}, concept drift {amount}: {found}")
        assert found["realized"] and found["realized"][0] in (FROM, FROM + 1)

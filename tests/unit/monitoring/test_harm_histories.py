"""Under `on_harm`, drift that hurts starts a training within two months of labels; other drift starts none."""

from datetime import UTC, datetime

import numpy as np
import pytest
from simulated_histories import Model, months

from streamflow.monitoring.harm import losses
from streamflow.monitoring.harm.retrain import Harm, InProduction, decide
from streamflow.monitoring.harm.verdict import HARMFUL, Reference, judge
from streamflow.settings import RetrainSettings

TOLERANCE = 0.01
ON_HARM = RetrainSettings(policy="on_harm")
NOW = datetime(2024, 1, 31, tzinfo=UTC)
MOVES = (
    {},
    {"monthly_fee": 0.1},
    {"watch_hours_30d": -0.1},
    {"user_is_senior": 0.01},
    {"contract_type": 0.01},
    {"support_tickets_90d": 0.05},
)
"""Changes a month of columns, which churn follows by the same mechanism as before."""


def first_training(count, seed, **drift):
    """The first month after the training set's whose verdicts start a training; None if none does."""
    drawn = months(7000, count + 1, seed, **drift)
    model = Model(next(drawn), "logistic_regression")
    loss = (model.held_scores - model.held_labels) ** 2
    reference = Reference(len(loss), float(loss.mean()), float(loss.std()))
    for position, frame in enumerate(drawn, start=1):
        scores, labels = model.scored(frame)
        for basis, found in (
            ("estimated", losses.estimated(scores)),
            ("realized", losses.realized(scores, labels.astype(np.bool_))),
        ):
            verdict = judge(reference, found, position, TOLERANCE)
            harm = None
            if verdict.verdict == HARMFUL:
                harm = Harm(1, basis, NOW, verdict.loss, verdict.loss_low, verdict.reference_high, TOLERANCE)
            if decide(ON_HARM, InProduction(1, NOW, NOW, harm), new_drop=True).trains:
                return position
    return None


@pytest.mark.parametrize("seed", range(12))
def test_another_mechanism_of_churn_starts_a_training_within_two_months_of_labels(seed):
    begins = 2 + seed % 3
    found = first_training(begins + 1, 100 + seed, concept_drift=1.0, concept_from=begins)
    assert found in (begins, begins + 1)


@pytest.mark.parametrize("seed", range(12))
def test_drift_of_the_inputs_that_the_model_still_fits_starts_none(seed):
    assert first_training(6, 200 + seed, drift=MOVES[seed % len(MOVES)]) is None

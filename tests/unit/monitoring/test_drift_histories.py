"""Without drift, at most one version in twenty is ever said to have drifted. `make drift-histories` shows it at length.

The histories are simulated in memory: a version is trained on the first month, and every later month is compared with
that one, by the functions that `streamflow monitor drift` calls. Each month has most of the customers of the one before.
"""

import os
import time

import numpy as np
import pytest
from simulated_histories import Model, months

from streamflow.monitoring.drift import anderson_darling, month, shares
from streamflow.monitoring.drift.distributions import TwoNumbers, distance, pair
from streamflow.monitoring.drift.feature import DRIFTED, Thresholds, compare

LENGTHY = "DRIFT_HISTORIES" in os.environ
HISTORIES = int(os.environ.get("DRIFT_HISTORIES") or "20")
MONTHS = 24 if LENGTHY else 6
ESTIMATOR = os.environ.get("DRIFT_ESTIMATOR") or "logistic_regression"
THRESHOLDS = Thresholds()


def has_drifted(item, alpha):
    """Whether `compare` says `drifted`, without the smallest difference that it could have shown, which takes seconds."""
    absent = [np.array([side.present, side.absent]) for side in (item.reference, item.current)]
    tests_absence = item.nullable or absent[0][1] > 0 or absent[1][1] > 0
    alpha /= 1 + tests_absence
    both = pair(item.reference.values, item.current.values)
    if isinstance(both, TwoNumbers):
        large = distance(both.reference, both.current, both.reference.sd) >= THRESHOLDS.shift
        if large and anderson_darling.p_value(both.reference, both.current) < alpha:
            return True
    elif differ(both.reference, both.current, alpha):
        return True
    return tests_absence and differ(*absent, alpha)


def differ(reference, current, alpha):
    large = shares.difference(reference, current) >= THRESHOLDS.share
    return bool(large and shares.p_value(reference, current) < alpha)


def drifted(compared, position):
    """The features of which a month says `drifted`."""
    alpha = month.alpha_of(position) / len(compared)
    return [name for name, item in compared.items() if has_drifted(item, alpha)]


def history(users, seed):
    """The first month of a history that says `drifted`, and of which features; None if no month does."""
    drawn = months(users, MONTHS + 1, seed)
    model = Model(next(drawn), ESTIMATOR)
    for position, frame in enumerate(drawn, start=1):
        if names := drifted(model.compared(frame), position):
            return position, names
    return None


@pytest.mark.timeout(0 if LENGTHY else 120)
@pytest.mark.parametrize("users", [2000, 7000] if LENGTHY else [2000])
def test_without_drift_at_most_one_history_in_twenty_ever_says_drifted(users):
    start, said = time.monotonic(), {}
    for seed in range(HISTORIES):
        if found := history(users, 1000 + seed):
            said[1000 + seed] = found
    share, most = len(said) / HISTORIES, 0.05 + 3 * np.sqrt(0.05 * 0.95 / HISTORIES)
    print(
        f"\n{HISTORIES} histories of {MONTHS} months, {users} users, {ESTIMATOR}: {len(said)} said drifted"
        f" ({share:.2%}; at most {most:.2%}), {time.monotonic() - start:.0f} s"
    )
    for seed, (position, names) in said.items():
        print(f"  seed {seed}, month {position}: {', '.join(names)}")
    assert share <= most


@pytest.mark.parametrize(
    ("drift", "names"),
    [
        ({"skips_7d": 0.3}, ["skips_7d"]),
        ({"plan_stream_tv": -0.15}, ["plan_stream_tv"]),
        ({"net_service": 0.1}, None),
    ],
)
def test_the_histories_decide_as_the_verdict_on_a_feature_does(drift, names):
    first, second = months(2000, 2, seed=5, drift=drift)
    compared = Model(first, ESTIMATOR).compared(second)
    found = drifted(compared, position=1)
    assert names is None or found == names
    alpha = month.alpha_of(1) / len(compared)
    for name in (*drift, "paperless_billing", "unique_devices_30d"):
        item = compared[name]
        verdict = compare(name, item.reference, item.current, alpha, THRESHOLDS, nullable=item.nullable)
        assert (verdict.outcome == DRIFTED) == (name in found)

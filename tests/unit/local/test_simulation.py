import importlib.util
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

PATH = Path(__file__).parents[3] / "feature_repo" / "simulation.py"
FIRST = date(2024, 1, 31)
FEATURES = [
    "months_active",
    "monthly_fee",
    "paperless_billing",
    "plan_stream_tv",
    "plan_stream_movies",
    "net_service",
    "watch_hours_30d",
    "avg_session_mins_7d",
    "unique_devices_30d",
    "skips_7d",
    "rebuffer_events_7d",
    "failed_payments_90d",
    "support_tickets_90d",
    "ticket_avg_resolution_hrs_90d",
]


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("simulation_under_test", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def run(simulation, users=2000, months=3, seed=1, drift=None, **more):
    return list(simulation.simulate(users, months, seed, FIRST, drift or {}, **more))


def joined(tables):
    result = tables["users"]
    for name in list(tables)[1:]:
        result = result.merge(tables[name], on="user_id", validate="one_to_one")
    return result


def test_the_same_seed_gives_the_same_drops_and_fewer_months_give_the_first_of_them(simulation):
    long, short, other = run(simulation), run(simulation, months=2), run(simulation, months=1, seed=2)
    for (when, tables), (again, same) in zip(long, short, strict=False):
        assert when == again
        for name in tables:
            pd.testing.assert_frame_equal(tables[name], same[name])
    assert not joined(long[0][1]).equals(joined(other[0][1]))


def test_as_ofs_are_month_ends(simulation):
    assert [when for when, _ in run(simulation, users=1, months=3)] == [
        FIRST,
        date(2024, 2, 29),
        date(2024, 3, 31),
    ]


def test_some_customers_leave_others_come_and_the_rest_grow_older(simulation):
    (_, before), (_, after) = run(simulation, months=2)
    before, after = joined(before).set_index("user_id"), joined(after).set_index("user_id")
    stayed = before.index.intersection(after.index)
    assert 0.9 < len(stayed) / len(before) < 1 and len(after) == len(before)
    assert (after.months_active[stayed] - before.months_active[stayed] == 1).all()
    assert (after.total_paid[stayed] > before.total_paid[stayed]).all()
    assert (after.months_active.drop(stayed) <= 1).all()
    assert set(before.index[~before.index.isin(after.index)]) & set(before.index[before.churn_label])


def test_streaming_plans_are_empty_exactly_without_internet(simulation):
    tables = run(simulation, months=1)[0][1]["subscriptions"]
    without = tables.net_service == "No"
    assert 0.15 < without.mean() < 0.3
    for plan in ("plan_stream_tv", "plan_stream_movies"):
        assert (tables[plan].isna() == without).all()


def test_a_few_customers_miss_a_required_value(simulation):
    column = "ticket_avg_resolution_hrs_90d"
    for seed in range(10):
        missing = run(simulation, users=500, months=1, seed=seed)[0][1]["support_agg_90d"][column].isna()
        assert 1 <= missing.sum() <= 10
    assert not run(simulation, months=1, missing=0)[0][1]["support_agg_90d"][column].isna().any()


@pytest.mark.parametrize("seed", [1, 2])
def test_churn_can_be_learnt_from_the_features_of_each_month(simulation, seed):
    for _, tables in run(simulation, users=7000, months=2, seed=seed):
        data = joined(tables).dropna(subset=["ticket_avg_resolution_hrs_90d"])
        x = pd.get_dummies(data[FEATURES], columns=["net_service"])
        x = x.astype("Float64").fillna(-1).astype(float)
        split = train_test_split(
            x, data.churn_label, test_size=0.25, stratify=data.churn_label, random_state=42
        )
        forest = RandomForestClassifier(300, class_weight="balanced", random_state=42, n_jobs=2)
        auc = roc_auc_score(split[3], forest.fit(split[0], split[2]).predict_proba(split[1])[:, 1])
        assert 0.77 <= auc <= 0.85
        assert 0.23 <= data.churn_label.mean() <= 0.29


@pytest.mark.parametrize(
    ("column", "amount"),
    [("watch_hours_30d", -0.5), ("skips_7d", 1.0), ("paperless_billing", 0.1), ("paperless_billing", -0.2)],
)
def test_a_drift_moves_its_column_by_its_amount_and_no_other(simulation, column, amount):
    plain, moved = run(simulation, months=2), run(simulation, months=2, drift={column: amount})
    assert joined(plain[0][1]).equals(joined(moved[0][1]))
    before, after = joined(plain[1][1]), joined(moved[1][1])
    scale = before[column].std() if before[column].dtype != bool else 1.0
    assert after[column].mean() - before[column].mean() == pytest.approx(amount * scale, abs=0.04 * scale)
    for other in set(FEATURES) - {column}:
        pd.testing.assert_series_equal(before[other], after[other])


def test_a_category_drifts_with_the_columns_that_depend_on_it(simulation):
    plain, moved = run(simulation, months=2), run(simulation, months=2, drift={"net_service": 0.2})
    before, after = joined(plain[1][1]), joined(moved[1][1])
    fiber = [(frame.net_service == "Fiber optic").mean() for frame in (before, after)]
    assert fiber[1] - fiber[0] == pytest.approx(0.2, abs=0.04)
    assert after.monthly_fee.mean() > before.monthly_fee.mean()
    assert (after.plan_stream_tv.isna() == (after.net_service == "No")).all()


def test_a_column_that_cannot_drift_is_named(simulation):
    with pytest.raises(ValueError, match="no drift for nonsense"):
        run(simulation, drift={"nonsense": 1.0})


def test_ids_have_the_form_of_real_ones_and_are_unique(simulation):
    ids = simulation._user_ids(np.arange(300_000), 12345)
    assert len(set(ids)) == len(ids)
    assert all(
        len(item) == 10 and item[4] == "-" and item[:4].isdigit() and item[5:].isupper()
        for item in ids[:1000]
    )


def test_even_one_customer_can_be_simulated(simulation):
    assert all(
        len(table) == 1 for _, tables in run(simulation, users=1, months=12) for table in tables.values()
    )

import importlib.util
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
CATEGORIES = ["user_gender", "contract_type", "net_service"]


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


def described(tables):
    """Mean of each numeric column, its standard deviation, and the share of each category and of True."""
    frame = pd.concat([table.drop(columns="user_id") for table in tables.values()], axis=1)
    numbers = frame[[name for name in frame.columns if frame[name].dtype.kind in "if"]]
    flags = frame.select_dtypes(["bool", "boolean"]).astype("Float64").mean()
    categories = [frame[name].value_counts(normalize=True) for name in CATEGORIES]
    return numbers.mean(), numbers.std(), pd.concat([flags, *categories])


def test_without_drift_the_distributions_of_two_years_stay_as_they_are(simulation):
    # How far each month is from the first one, and the values of the first and of the last month.
    numbers, shares, ends = [], [], []
    for seed in range(6):
        months = [tables for _, tables in run(simulation, users=7000, months=24, seed=seed)]
        first, deviation, first_shares = described(months[0])
        compared = [described(month) for month in months[5::6]]
        numbers.append(pd.DataFrame([(means - first) / deviation for means, _, _ in compared]))
        shares.append(pd.DataFrame([later - first_shares for _, _, later in compared]))
        ends.append((months[0], months[-1]))
    assert (sum(numbers) / len(numbers)).abs().to_numpy().max() <= 0.03
    assert (sum(shares) / len(shares)).abs().to_numpy().max() <= 0.01
    # In one history, the counts that are drawn anew each month differ by chance: twice the variance / 7,000.
    assert max(frame.abs().to_numpy().max() for frame in numbers) <= 0.07
    assert max(frame.abs().to_numpy().max() for frame in shares) <= 0.03
    for column in ("months_active", "monthly_fee", "total_paid"):
        values = [pd.concat([pair[end]["subscriptions"][column] for pair in ends]) for end in (0, 1)]
        assert ks_2samp(*values).statistic <= 0.015, column


def test_the_customers_of_a_month_resemble_those_of_the_real_drops(simulation):
    data = joined(run(simulation, users=7000, months=1)[0][1])
    assert data.months_active.mean() == pytest.approx(32, abs=1.5)
    assert data.monthly_fee.mean() == pytest.approx(65, abs=1.5)
    assert data.total_paid.mean() == pytest.approx(2030, abs=120)
    shares = data.contract_type.value_counts(normalize=True)
    assert shares["Month-to-month"] == pytest.approx(0.55, abs=0.03)
    tenure = data.groupby("contract_type").months_active.mean()
    assert tenure["Month-to-month"] < 25 < 35 < tenure["One year"] < 45 < 50 < tenure["Two year"]


def matrix(data):
    """The columns that `churn_v1` and the simulated mechanisms use, in the form in which they use them."""
    x = pd.get_dummies(data[[*FEATURES, "contract_type", "user_is_senior"]], columns=CATEGORIES[1:])
    x = x.astype("Float64").fillna(0).astype(float)
    return x.assign(months_active=np.log1p(x.months_active))


@pytest.fixture(scope="module")
def fixed_model(simulation):
    """A model of churn without drift, fitted on customers of other seeds."""
    data = pd.concat([joined(run(simulation, 7000, 1, seed, missing=0)[0][1]) for seed in range(50, 54)])
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(matrix(data), data.churn_label)


def losses(model, tables):
    """Log loss on a month, and the loss that the model expects if its probabilities are right."""
    data = joined(tables)
    p = model.predict_proba(matrix(data))[:, 1]
    return log_loss(data.churn_label, p), -np.mean(p * np.log(p) + (1 - p) * np.log(1 - p))


def test_a_concept_drift_changes_the_mechanism_and_nothing_else(simulation, fixed_model):
    plain = run(simulation, 7000, months=6, missing=0)
    moved = run(simulation, 7000, months=6, missing=0, concept_drift=0.6, concept_from=3)
    for month, ((_, before), (_, after)) in enumerate(zip(plain, moved, strict=True)):
        for name in before.keys() - ({"labels"} if month >= 3 else set()):
            pd.testing.assert_frame_equal(before[name], after[name])
        shares = [tables["labels"].churn_label.mean() for tables in (before, after)]
        assert shares[1] == pytest.approx(shares[0], abs=0.02)
        usual, harmed = losses(fixed_model, before)[0], losses(fixed_model, after)[0]
        assert harmed > usual + 0.08 if month >= 3 else harmed == usual


def test_churn_can_be_learnt_from_the_mechanism_after_a_concept_drift(simulation, fixed_model):
    data = joined(run(simulation, 7000, months=2, missing=0, concept_drift=1.0)[1][1])
    train, test = data[:5000], data[5000:]
    again = make_pipeline(StandardScaler(), LogisticRegression()).fit(matrix(train), train.churn_label)
    new, old = (
        roc_auc_score(test.churn_label, model.predict_proba(matrix(test))[:, 1])
        for model in (again, fixed_model)
    )
    assert new > 0.75 and new > old + 0.1


@pytest.mark.parametrize("drift", [{"skips_7d": 0.3}, {"watch_hours_30d": -0.2, "paperless_billing": 0.1}])
def test_an_input_drift_begins_in_its_month_and_leaves_the_mechanism_as_it_is(simulation, fixed_model, drift):
    plain = run(simulation, 7000, months=5, missing=0)
    moved = run(simulation, 7000, months=5, missing=0, drift=drift, drift_from=dict.fromkeys(drift, 3))
    for month, ((_, usual), (_, after)) in enumerate(zip(plain, moved, strict=True)):
        before, shifted = joined(usual), joined(after)
        assert month >= 3 or before.equals(shifted)
        loss, expected = losses(fixed_model, after)
        assert loss == pytest.approx(expected, abs=0.02)
    for column, amount in drift.items():
        scale = 1.0 if before[column].dtype == bool else before[column].std()
        assert shifted[column].mean() - before[column].mean() == pytest.approx(2 * amount * scale, abs=0.05)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"concept_drift": 1.5}, "1.5 is not between 0 and 1"),
        ({"concept_drift": 0.5, "concept_from": 0}, "before month 1"),
        (
            {"drift": {"skips_7d": 1.0}, "drift_from": {"skips_7d": 0}},
            "drift of skips_7d begins before month 1",
        ),
    ],
)
def test_a_drift_out_of_range_is_refused(simulation, more, said):
    with pytest.raises(ValueError, match=said):
        run(simulation, **more)


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

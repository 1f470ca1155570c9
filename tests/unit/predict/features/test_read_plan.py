"""Whether the values of an entity in the online store allow a prediction."""

import pytest

from streamflow.eligibility import Policy
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.predict.features.read_plan import FeatureRow, ReadPlan

DAY = 86400.0
CONTRACT = Contract(
    model="m",
    feature_service="s",
    join_key="user_id",
    features=(
        Feature("fee", "bills", "float"),
        Feature("tv", "plans", "bool", nullable=True),
        Feature("months", "bills", "int"),
    ),
    views=(View("bills", 10 * DAY), View("plans", None)),
    threshold=0.5,
    label={},
    estimator="e",
    as_of="",
    known_at="",
    fingerprint="",
)
PLAN = ReadPlan(CONTRACT)
NEWEST = {"bills": 100 * DAY, "plans": 100 * DAY}


def judge(values, stamps, newest=NEWEST, *, require_newest=True, now=None):
    return PLAN.judge("u", FeatureRow(values, stamps), newest, Policy(require_newest, now))


FRESH = (100 * DAY, 100 * DAY)


def test_complete_and_fresh_values_have_no_problem():
    assert judge((1.0, True, 3), FRESH) is None


def test_a_null_is_a_problem_only_in_a_required_feature():
    assert judge((1.0, None, 3), FRESH) is None
    problem = judge((None, None, None), FRESH)
    assert (problem.code, problem.http_status) == ("missing_features", 422)
    assert problem.members == {"reason": "null_values", "features": ["bills:fee", "bills:months"]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_a_value_that_is_not_a_finite_float32_counts_as_missing(value):
    problem = judge((value, True, 3), FRESH)
    assert problem.members == {"reason": "null_values", "features": ["bills:fee"]}


COLUMNS = {
    "bills": {"fee": "double precision", "months": "bigint", "event_timestamp": "timestamp with time zone"},
    "plans": {"tv": "boolean"},
}


def test_tables_that_fit_the_contract_have_no_mismatch():
    assert PLAN.mismatch(COLUMNS) is None


@pytest.mark.parametrize(
    ("columns", "features", "says"),
    [
        ({**COLUMNS, "plans": {}}, ["plans:tv"], "plans:tv is not there"),
        ({"bills": COLUMNS["bills"]}, ["plans:tv"], "plans:tv is not there"),
        (
            {**COLUMNS, "bills": {"fee": "text", "months": "bigint"}},
            ["bills:fee"],
            "is text, not double precision",
        ),
        (
            {**COLUMNS, "bills": {"fee": "real", "months": "numeric"}},
            ["bills:months"],
            "is numeric, not bigint",
        ),
    ],
)
def test_a_column_that_is_absent_or_of_another_type_is_a_mismatch(columns, features, says):
    problem = PLAN.mismatch(columns)
    assert (problem.code, problem.http_status) == ("schema_mismatch", 503)
    assert problem.members == {"reason": "online_schema", "features": features}
    assert says in problem.detail
    # Once more from the cache, and again after a change.
    assert PLAN.mismatch(columns) == problem
    assert PLAN.mismatch(COLUMNS) is None


def test_an_entity_without_any_row_is_unknown():
    problem = judge((None, None, None), (None, None))
    assert (problem.http_status, problem.members["reason"]) == (404, "unknown_entity")
    assert problem.members["features"] == ["bills:fee", "plans:tv", "bills:months"]


def test_an_entity_without_a_row_in_one_view_names_that_view_s_features():
    problem = judge((1.0, None, 3), (100 * DAY, None))
    assert problem.members == {"reason": "not_materialized", "features": ["plans:tv"]}
    assert "plans" in problem.detail


def test_a_view_that_was_never_materialized_is_reported():
    problem = judge((None, None, None), (None, None), newest={"plans": 100 * DAY})
    assert problem.members["reason"] == "not_materialized"
    assert "bills" in problem.detail
    assert "streamflow materialize" in problem.detail


def test_values_behind_the_newest_as_of_are_stale_unless_allowed():
    behind = (99 * DAY, 100 * DAY)
    problem = judge((1.0, True, 3), behind)
    assert (problem.code, list(problem.members["views"])) == ("stale_features", ["bills"])
    assert problem.members["features"] == ["bills:fee", "bills:months"]
    assert problem.members["views"]["bills"]["behind_newest_seconds"] == DAY
    assert judge((1.0, True, 3), behind, require_newest=False) is None


@pytest.mark.parametrize(("age_days", "stale"), [(10, False), (10.001, True)])
def test_values_beyond_the_largest_age_of_their_view_are_stale(age_days, stale):
    stamps = ((100 - age_days) * DAY, 100 * DAY)
    assert bool(judge((1.0, True, 3), stamps, require_newest=False)) is stale


@pytest.mark.parametrize(("now_days", "stale"), [(110, False), (110.001, True)])
def test_by_the_wall_clock_even_the_newest_drop_ages(now_days, stale):
    assert bool(judge((1.0, True, 3), FRESH, now=now_days * DAY)) is stale


def test_a_view_without_a_largest_age_is_never_too_old():
    assert judge((1.0, True, 3), (100 * DAY, 0.0), require_newest=False) is None


def test_the_statement_reads_every_view_once_and_quotes_its_names():
    strange = Contract(
        **{
            **CONTRACT.__dict__,
            "join_key": 'key"; DROP TABLE x; --',
            "features": (Feature("fee", "bills", "float"),),
            "views": (View("bills"),),
        }
    )
    assert PLAN.statement.count("LEFT JOIN") == 2
    assert 'v0."key""; DROP TABLE x; --"' in ReadPlan(strange).statement

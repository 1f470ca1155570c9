"""Which data is reported as missing or behind."""

from datetime import UTC, datetime

from streamflow.monitoring.freshness import Freshness, Reach, problems

JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)


def found(table=FEBRUARY, view=FEBRUARY, rows=10):
    return Freshness(FEBRUARY, {"users": Reach(10, table)}, {"usage_fv": Reach(rows, view)})


def test_everything_up_to_the_newest_drop_is_consistent():
    assert problems(found()) == []


def test_without_a_drop_nothing_else_is_reported():
    assert problems(Freshness(None)) == ["no drop has been ingested"]


def test_a_table_behind_the_newest_drop_is_named_with_both_dates():
    assert problems(found(table=JANUARY)) == [
        "source table users ends at 2024-01-31, the newest drop is of 2024-02-29"
    ]


def test_an_empty_table_is_named():
    assert problems(found(table=None)) == ["source table users is empty"]


def test_a_view_that_was_never_materialized_is_behind_or_is_empty_is_named():
    assert problems(found(view=None)) == ["feature view usage_fv was never materialized"]
    assert problems(found(view=JANUARY)) == [
        "feature view usage_fv ends at 2024-01-31, the newest drop is of 2024-02-29"
    ]
    assert problems(found(rows=0)) == ["feature view usage_fv is empty"]

"""Scores of Spark are those of PostgreSQL to the last bit, and refusals are counted alike."""

import pytest
from spark_scores import (
    FEBRUARY,
    promoted,
    register,
    rows,
    same,
    scores,
    with_odd_users,
    with_spark,
)

from streamflow.jobs.score import score_as_of

pytestmark = [pytest.mark.postgres, pytest.mark.stack, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def odd(module_simulated):
    """Simulated users, some of whom cannot be scored, and a version in production."""
    return with_odd_users(module_simulated)


@pytest.fixture(scope="module")
def sample(world):
    """The sample drops and a version in production."""
    from streamflow.challenger import train

    return promoted(world, train(world, FEBRUARY.date(), estimator="gradient_boosting").version)


def test_refusals_are_counted_as_in_postgresql(spark_session, odd, tmp_path):
    theirs = score_as_of(odd)
    register(spark_session, odd, tmp_path)
    ours = with_spark(spark_session, odd, theirs.known_at)
    assert {"null_values", "stale", "no_row"} <= set(ours.refused)
    assert scores(odd, ours.scoring_id) == scores(odd, theirs.scoring_id)
    assert same(ours, theirs)
    refusals = "SELECT reason, entities FROM streamflow.scoring_refusals WHERE scoring_id = :n"
    assert dict(rows(odd, refusals, n=ours.scoring_id)) == theirs.refused


@pytest.mark.realdata
def test_scores_of_the_sample_drops_are_those_of_postgresql_to_the_last_bit(spark_session, sample, tmp_path):
    theirs = score_as_of(sample)
    register(spark_session, sample, tmp_path)
    ours = with_spark(spark_session, sample, theirs.known_at)
    assert ours.scored == 7043
    assert scores(sample, ours.scoring_id) == scores(sample, theirs.scoring_id)
    assert same(ours, theirs)

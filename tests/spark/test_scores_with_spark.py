"""Scores of Spark are those of PostgreSQL to the last bit, and a scoring whose worker is killed leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spark_scores import (
    FEBRUARY,
    dying,
    promoted,
    register,
    rows,
    same,
    scores,
    with_odd_users,
    with_spark,
)

from streamflow.errors import DependencyDown
from streamflow.jobs.score import score_as_of
from streamflow.spark import scoring

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


def test_a_scoring_that_fails_stores_nothing_and_the_next_one_is_equal(
    spark_session, odd, tmp_path, monkeypatch
):
    theirs = score_as_of(odd)
    register(spark_session, odd, tmp_path)
    killed = tmp_path / "killed"
    killed.mkdir()
    stored = rows(odd, "SELECT count(*), (SELECT count(*) FROM streamflow.scores) FROM streamflow.scorings")
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "_Task", dying(killed, times=1000))
        with pytest.raises(DependencyDown, match="no score was stored"):
            with_spark(spark_session, odd, theirs.known_at)
    assert (
        rows(odd, "SELECT count(*), (SELECT count(*) FROM streamflow.scores) FROM streamflow.scorings")
        == stored
    )
    ours = with_spark(spark_session, odd, theirs.known_at)
    assert scores(odd, ours.scoring_id) == scores(odd, theirs.scoring_id)


def test_a_scoring_goes_on_when_an_executor_is_killed_and_stores_no_score_twice(odd, tmp_path):
    theirs = score_as_of(odd)
    here = Path(__file__).parent
    done = subprocess.run(
        [
            sys.executable,
            here / "score_with_lost_executor.py",
            odd.home,
            tmp_path,
            theirs.known_at.isoformat(),
        ],
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    number = int(done.stdout.split()[-1])
    assert len(list((tmp_path / "killed").iterdir())) >= 1
    assert scores(odd, number) == scores(odd, theirs.scoring_id)
    counted = "SELECT count(*), count(DISTINCT entity) FROM streamflow.scores WHERE scoring_id = :n"
    assert rows(odd, counted, n=number) == [(theirs.scored, theirs.scored)]

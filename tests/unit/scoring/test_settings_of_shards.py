"""Which settings of shards are refused, before anything is scored."""

import pytest
from pydantic import ValidationError

from streamflow.errors import Refused
from streamflow.scoring.read import EVERYBODY, Shard
from streamflow.scoring.shards import Run, check_shard
from streamflow.settings import ScoringSettings, Settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"shards": 2}, "shards=2 needs run"),
        ({"shards": 2, "shard": 2, "run": "night"}, "shard=2 is not below shards=2"),
        ({"shard": 1}, "shard=1 is not below shards=1"),
        ({"shards": 101, "run": "night"}, "less than or equal to 100"),
        ({"shards": 2, "shard": -1, "run": "night"}, "greater than or equal to 0"),
    ],
)
def test_a_shard_that_cannot_be_is_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        ScoringSettings(**given)


def test_executors_of_spark_share_a_scoring_and_shards_do_not():
    scoring = ScoringSettings(shards=2, run="night")
    with pytest.raises(ValidationError, match="among its executors"):
        Settings(engine="spark", lake={"url": "/lake"}, scoring=scoring)


def test_by_default_one_process_scores_everybody_without_a_condition():
    ours = ScoringSettings()
    assert Shard(ours.shard, ours.shards) == EVERYBODY
    assert EVERYBODY.condition("key") == ""
    assert "= 1" in Shard(1, 2).condition("key")


@pytest.mark.parametrize(
    ("shards", "abandoned", "hint"),
    [(3, False, "STREAMFLOW_SCORING__SHARDS=3"), (2, True, "Start the job again")],
)
def test_a_shard_of_another_scoring_is_told_what_to_do(shards, abandoned, hint):
    opened = Run("night", shards, None, {}, None, complete=False, abandoned=abandoned, seconds=1.0)
    with pytest.raises(Refused, match="'night'") as refused:
        check_shard(opened, Shard(0, 2))
    assert hint in str(refused.value.hint)


def test_a_shard_of_an_open_scoring_is_let_in():
    check_shard(Run("night", 2, None, {}, None, complete=False, abandoned=False, seconds=1.0), Shard(1, 2))

"""Training sets from the lake through Feast on Spark equal those of PostgreSQL, to the last bit."""

import os
import subprocess
import sys
from datetime import date, timedelta
from functools import partial

import pandas as pd
import pytest
from histories import MONTHS, History, random_history

from streamflow import point_in_time
from streamflow.apply import apply
from streamflow.errors import Refused, StreamFlowError
from streamflow.repo import definitions
from streamflow.spark import snapshots
from streamflow.spark.training_set import training_set

pytestmark = pytest.mark.postgres


@pytest.fixture
def history(settings, lake):
    apply(settings)
    return History(settings.database, definitions.load(settings.feast.repo), lake.url)


def outcome(build, *asked):
    """A training set and the drops that it could see, or why there is none."""
    try:
        return build(*asked)
    except StreamFlowError as error:
        return type(error), str(error)


@pytest.mark.parametrize("seed", range(10))
def test_ten_random_histories_give_equal_training_sets(
    seed, settings, lake, spark_settings, spark_session, history
):
    random_history(seed, history)
    at, known_at = MONTHS[seed % 3], history.loaded[-1 - seed % 2]
    expected, drops = point_in_time.training_set(settings.database, history.repo, at, known_at)
    history.leave_postgresql()
    found, seen = training_set(settings.database, lake, spark_settings, history.repo, at, known_at)
    assert found.fingerprint == expected.fingerprint
    assert (found.incomplete, found.features, found.views) == (
        expected.incomplete,
        expected.features,
        expected.views,
    )
    assert (found.as_of, found.label_as_of, found.known_at) == (
        expected.as_of,
        expected.label_as_of,
        known_at,
    )
    assert seen == drops
    pd.testing.assert_frame_equal(found.frame, expected.frame)


def test_what_cannot_be_built_is_said_as_postgresql_says_it(
    settings, lake, spark_settings, spark_session, history
):
    random_history(0, history)
    last = history.loaded[-1]
    asked = [(None, history.loaded[0] - timedelta(seconds=1)), (date(2024, 4, 30), last)]
    on_postgresql = partial(point_in_time.training_set, settings.database, history.repo)
    on_spark = partial(training_set, settings.database, lake, spark_settings, history.repo)
    expected = [outcome(on_postgresql, *each) for each in asked]
    # While rows are in PostgreSQL, Spark does not read a part of them.
    assert outcome(on_spark, MONTHS[0], last)[0] is Refused
    history.leave_postgresql()
    assert [outcome(on_spark, *each) for each in asked] == expected
    assert outcome(on_postgresql, MONTHS[0], last)[0] is Refused


ALONE = """
import sys
from datetime import datetime
from streamflow import settings
from streamflow.repo import definitions
from streamflow.spark import session, snapshots

made = settings.load()
started = session.started(made.spark)
tables = definitions.load(made.feast.repo).tables
with snapshots.frozen(started, made.database, made.lake.url, tables, datetime.fromisoformat(sys.argv[1])) as own:
    print(own.conf.get("spark.sql.shuffle.partitions"))
"""


def test_the_partitions_of_a_shuffle_follow_the_rows_unless_spark_conf_says(
    settings, lake, spark_session, history
):
    random_history(0, history)
    history.leave_postgresql()
    seen = (settings.database, lake.url, history.repo.tables, history.loaded[-1])
    with snapshots.frozen(spark_session, *seen) as own:
        assert own.conf.get("spark.sql.shuffle.partitions") == "1"
    more = {
        "STREAMFLOW_LAKE__URL": lake.url,
        "STREAMFLOW_SPARK__DRIVER_MEMORY": "1g",
        # Spark is not installed where the tests are.
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    environment = os.environ | settings.database.variables | more
    answer = subprocess.run(
        [sys.executable, "-c", ALONE, history.loaded[-1].isoformat()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.split() == ["8"], answer.stderr

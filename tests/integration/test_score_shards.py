"""A scoring that shards share equals that of one process, is visible whole or not at all, and goes on after a kill."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from source_rows import add_drop
from streamflow.jobs.score import score_as_of
from streamflow.jobs.shards import run_shard
from streamflow.postgres.engine import transaction
from streamflow.registry.promote import promote
from streamflow.repo import definitions
from streamflow.scoring import kept
from streamflow.scoring.read import Shard
from streamflow.settings import ScoringSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack]

JANUARY = date(2024, 1, 31)
FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)
REFUSED = 3


@pytest.fixture(scope="module")
def promoted(module_simulated):
    """Two months of simulated users, some of whom cannot be scored, and a version in production."""
    settings = module_simulated
    for alias in ("staging", "production"):
        promote(settings.backends, 1, alias, why="a test", by="tests")
    with transaction(settings.database) as connection:
        repo = definitions.load(settings.feast.repo)
        newest = add_drop(connection, "odd users", FEBRUARY)
        before = add_drop(connection, "a day before", FEBRUARY - timedelta(days=1))
        for table in repo.tables:
            columns = [column.name for column in table.columns]
            # A user without a row in one table, some without a value, and one whose newest row is old.
            odd = {f"nulls:{n}": newest for n in range(9)} | {"old": before}
            if table.name == repo.entity_table.name:
                odd["no row"] = newest
            for user, number in odd.items():
                empty = {"watch_hours_30d"} if user.startswith("nulls") else set()
                chosen = ", ".join("NULL" if column in empty else column for column in columns)
                connection.exec_driver_sql(
                    f"INSERT INTO source.{table.name} (user_id, {', '.join(columns)}, drop_number)"
                    f" SELECT 'odd:{user}', {chosen}, {number} FROM features.{table.snapshots}"
                    f" WHERE as_of = '{FEBRUARY.isoformat()}' LIMIT 1"
                )
    return settings


@pytest.fixture
def due(promoted):
    """There is something to score: the newest scoring is of an older month."""
    score_as_of(promoted, JANUARY)
    return promoted


def shard(settings, index, count=2, name="night"):
    """Settings of one shard."""
    return settings.model_copy(update={"scoring": ScoringSettings(shards=count, shard=index, run=name)})


def rows(settings, statement, **parameters):
    with transaction(settings.database) as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement), parameters)]


def newest(settings):
    """What readers see: the number of the newest scoring, and its scores."""
    scoring, table = kept.newest(settings.database, settings.mlflow.registered_model)
    return scoring.scoring_id, table.to_pylist()


def runs(settings):
    """Runs of the job in the ledger: outcome, message and result."""
    return rows(
        settings,
        "SELECT outcome, message, facts FROM streamflow.job_runs WHERE job = 'score' ORDER BY run_id",
    )


def open_starts(settings):
    """Starts of the job without an outcome."""
    statement = (
        "SELECT count(*) FROM streamflow.job_starts s WHERE job = 'score'"
        " AND NOT EXISTS (SELECT FROM streamflow.job_runs r WHERE r.start_id = s.start_id)"
    )
    return rows(settings, statement)[0][0]


def test_the_view_for_readers_has_no_score_of_a_scoring_that_is_not_complete(due):
    """The shards' table has them; nothing in the project reads it without the row of the scoring."""
    view = "SELECT scoring_id, entity, probability, prediction FROM streamflow.complete_scores ORDER BY 1, 2"
    table = view.replace("complete_scores", "scores")
    before = rows(due, view)
    assert before == rows(due, table) != []
    assert run_shard(shard(due, 0, name="half")) == 0
    assert len(rows(due, table)) > len(before)
    assert rows(due, view) == before
    assert run_shard(shard(due, 1, name="half")) == 0
    number, _ = newest(due)
    assert rows(due, view) == rows(due, table)
    statement = (
        "SELECT DISTINCT s.scoring_id, s.model, s.version, s.as_of, s.known_at, s.scored_at FROM streamflow."
    )
    same = f" s WHERE scoring_id = {number}"
    assert rows(due, f"{statement}complete_scores{same}") == rows(due, f"{statement}scorings{same}")


def test_four_shards_score_what_one_process_scores_and_are_one_run_of_the_job(due):
    one = score_as_of(due)
    expected = newest(due)[1]
    assert len(expected) > 400
    assert {"null_values", "stale", "no_row"} <= set(one.refused)
    score_as_of(due, JANUARY)
    before, recorded = newest(due), runs(due)
    for index in (2, 0, 3):
        assert run_shard(shard(due, index, 4, "equal")) == 0
        assert newest(due) == before
        assert runs(due) == recorded
    assert open_starts(due) == 1
    assert run_shard(shard(due, 1, 4, "equal")) == 0
    number, scores = newest(due)
    assert scores == expected
    (((outcome, _, facts)),) = runs(due)[len(recorded) :]
    assert (outcome, facts["scoring_id"], facts["version"]) == ("done", number, one.version)
    for name in ("scored", "positive", "refused", "features"):
        assert facts[name] == getattr(one, name)
    refusals = "SELECT reason, entities FROM streamflow.scoring_refusals WHERE scoring_id = :n"
    assert dict(rows(due, refusals, n=number)) == one.refused
    sizes = [
        size for (size,) in rows(due, "SELECT scored FROM streamflow.scoring_shards WHERE run = 'equal'")
    ]
    assert sum(sizes) == one.scored
    assert min(sizes) > 60
    # A shard that starts after completion does nothing.
    for index in range(4):
        assert run_shard(shard(due, index, 4, "equal")) == 0
    assert newest(due) == (number, expected)
    assert len(runs(due)) == len(recorded) + 1
    assert open_starts(due) == 0


def test_a_shard_that_is_killed_leaves_nothing_and_its_repetition_completes_the_scoring(due):
    score_as_of(due)
    expected = newest(due)[1]
    score_as_of(due, JANUARY)
    before, recorded = newest(due), runs(due)
    assert run_shard(shard(due, 0, name="killed")) == 0
    (number, half) = rows(
        due,
        "SELECT r.scoring_id, (SELECT count(*) FROM streamflow.scores s WHERE s.scoring_id = r.scoring_id)"
        " FROM streamflow.scoring_runs r WHERE run = 'killed'",
    )[0]
    assert 0 < half < len(expected)
    with transaction(due.database) as connection:
        # The shard has written its scores, and waits to mark itself as done.
        connection.exec_driver_sql("SELECT * FROM streamflow.scoring_runs WHERE run = 'killed' FOR UPDATE")
        process = process_of(shard(due, 1, name="killed"))
        wait_until_blocked(due, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    scores = "SELECT count(*) FROM streamflow.scores WHERE scoring_id = :n"
    assert rows(due, scores, n=number) == [(half,)]
    assert newest(due) == before
    assert run_shard(shard(due, 0, name="killed")) == 0
    assert (newest(due), runs(due)) == (before, recorded)
    assert run_shard(shard(due, 1, name="killed")) == 0
    assert newest(due) == (number, expected)
    assert [outcome for outcome, _, _ in runs(due)[len(recorded) :]] == ["done"]


def process_of(settings):
    """A shard as a process."""
    ours = {name: str(value) for name, value in settings.scoring.model_dump(exclude={"keep"}).items()}
    return subprocess.Popen(
        [sys.executable, "-m", "streamflow", "jobs", "exec", "score"],
        env={
            **os.environ,
            "STREAMFLOW_HOME": str(settings.home),
            "STREAMFLOW_DATABASE__NAME": settings.database.name,
            "STREAMFLOW_MLFLOW__REGISTERED_MODEL": settings.mlflow.registered_model,
            **{f"STREAMFLOW_SCORING__{name.upper()}": value for name, value in ours.items()},
        },
        stdout=subprocess.DEVNULL,
    )


def wait_until_blocked(settings, process):
    deadline = time.monotonic() + 120
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%finish_shard%'"
        " AND datname = current_database()"
    )
    while not rows(settings, waiting):
        assert process.poll() is None, "the shard ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_scorings_at_once_are_each_whole(due):
    score_as_of(due)
    expected = newest(due)[1]
    score_as_of(due, JANUARY)
    for index in (0, 1):
        for name in ("one", "another"):
            assert run_shard(shard(due, index, name=name)) == 0
    found = rows(
        due,
        "SELECT r.run, s.entity, s.probability FROM streamflow.scoring_runs r JOIN streamflow.scorings USING (scoring_id)"
        " JOIN streamflow.scores s USING (scoring_id) WHERE r.run IN ('one', 'another') ORDER BY 2",
    )
    for name in ("one", "another"):
        of_run = [(entity, probability) for run, entity, probability in found if run == name]
        assert of_run == [(row["entity"], row["probability"]) for row in expected]


def test_if_nothing_is_new_no_shard_scores_not_even_if_something_becomes_new_meanwhile(promoted):
    score_as_of(promoted)
    before, recorded = newest(promoted), runs(promoted)
    assert run_shard(shard(promoted, 1, name="idle")) == 0
    score_as_of(promoted, JANUARY)
    january = newest(promoted)
    assert run_shard(shard(promoted, 0, name="idle")) == 0
    assert newest(promoted) == january
    ((outcome, _, facts),) = runs(promoted)[len(recorded) :]
    assert (outcome, facts["scoring_id"]) == ("done", before[0])
    assert "new since" in facts["why"]
    assert open_starts(promoted) == 0


def test_another_number_of_shards_is_refused_and_said_once(due):
    assert run_shard(shard(due, 0, 2, "mixed")) == 0
    recorded = runs(due)
    for index in (1, 2):
        assert run_shard(shard(due, index, 3, "mixed")) == REFUSED
    ((outcome, message, _),) = runs(due)[len(recorded) :]
    assert outcome == "refused"
    assert "has 2 shards, and this process scores one of 3" in message
    # The scoring goes on as the run of the job that the repetition is.
    assert run_shard(shard(due, 1, 2, "mixed")) == 0
    assert [outcome for outcome, _, _ in runs(due)[len(recorded) :]] == ["refused", "done"]
    assert open_starts(due) == 0


def test_a_scoring_that_did_not_end_is_removed_by_a_later_one_and_its_shards_are_refused(due):
    assert run_shard(shard(due, 0, name="dead")) == 0
    (number,) = rows(due, "SELECT scoring_id FROM streamflow.scoring_runs WHERE run = 'dead'")[0]
    kept_scores = "SELECT count(*) > 0 FROM streamflow.scores WHERE scoring_id = :n"
    assert run_shard(shard(due, 0, name="soon after")) == 0
    assert rows(due, kept_scores, n=number) == [(True,)]
    with transaction(due.database) as connection:
        connection.exec_driver_sql(
            "UPDATE streamflow.scoring_runs SET opened_at = opened_at - interval '12 hours' WHERE run = 'dead'"
        )
    assert run_shard(shard(due, 0, name="long after")) == 0
    assert rows(due, kept_scores, n=number) == [(False,)]
    assert run_shard(shard(due, 1, name="dead")) == REFUSED
    assert "did not end within 12 hours" in runs(due)[-1][1]
    assert rows(due, "SELECT count(*) FROM streamflow.scorings WHERE scoring_id = :n", n=number) == [(0,)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 100])
def test_every_key_belongs_to_exactly_one_shard_and_shards_are_of_similar_size(settings, count):
    conditions = [Shard(index, count).condition("key") or "true" for index in range(count)]
    keys = (
        "SELECT md5(n::text) AS key FROM generate_series(1, 20000) n UNION ALL SELECT unnest(ARRAY["
        "'', ' ', '0', '-1', 'ä', E'a\\u0308', '客户', '🎬', 'O''Brien', E'\\n', repeat('x', 5000)])"
    )
    times = " + ".join(f"({condition})::int" for condition in conditions)
    sizes = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions)
    with transaction(settings.database) as connection:
        found = connection.exec_driver_sql(
            f"SELECT min({times}), max({times}), {sizes} FROM ({keys}) k".replace("%", "%%")
        )
        least, most, *counts = found.one()
    assert (least, most, sum(counts)) == (1, 1, 20_011)
    # Ten standard deviations of a binomial distribution.
    assert max(abs(n - 20_011 / count) for n in counts) < 10 * (20_011 / count) ** 0.5


def test_a_promotion_and_a_drop_in_between_change_nothing(due):
    """Must run last: it promotes another version and adds to the ledger."""
    assert run_shard(shard(due, 0, name="steady")) == 0
    for alias in ("staging", "production"):
        promote(due.backends, 2, alias, why="a test", by="tests")
    with transaction(due.database) as connection:
        add_drop(connection, "later", FEBRUARY + timedelta(days=29))
    assert run_shard(shard(due, 1, name="steady")) == 0
    (_, _, facts) = runs(due)[-1]
    assert (facts["version"], facts["as_of"]) == (1, "2024-02-29T00:00:00Z")

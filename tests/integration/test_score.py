"""Batch scoring: the probabilities of /predict, from the features of training, and counted refusals."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from source_rows import add_drop
from streamflow.errors import NotFound
from streamflow.features import training_set
from streamflow.jobs.score import score, score_as_of
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import ScoreResult, ScoreSkipped
from streamflow.registry.promote import promote
from streamflow.registry.served import served_release
from streamflow.registry.versions import by_alias
from streamflow.repo import definitions
from streamflow.scoring import run

pytestmark = [pytest.mark.postgres, pytest.mark.stack]

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


@pytest.fixture(scope="module")
def promoted(world):
    """The sample drops and a version in production."""
    from streamflow.challenger import train

    version = train(world, JANUARY, estimator="logistic_regression").version
    for alias in ("staging", "production"):
        promote(world.backends, version, alias, why="a test", by="tests")
    return world


def scores(settings, number):
    with transaction(settings.database) as connection:
        rows = connection.execute(
            sa.text("SELECT entity, probability, prediction FROM streamflow.scores WHERE scoring_id = :n"),
            {"n": number},
        )
        return {row.entity: (row.probability, row.prediction) for row in rows}


@pytest.mark.parametrize("as_of", [JANUARY, FEBRUARY])
def test_scores_are_those_of_the_training_sets_rows_to_the_last_bit(promoted, as_of):
    scored = score_as_of(promoted, as_of)
    assert (scored.scored, scored.refused, scored.features) == (7043, {}, {})
    assert scored.version == by_alias(promoted.mlflow, "production")
    release = served_release(promoted.database, promoted.mlflow.registered_model)
    assert scored.fingerprint == release.contract.fingerprint
    moment = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    repo = definitions.load(promoted.feast.repo)
    joined = training_set.build(
        promoted.database,
        repo,
        as_of=moment,
        label_as_of=moment,
        known_at=scored.known_at,
        db_schema="features",
    )
    rows = [
        [None if isinstance(v, float) and np.isnan(v) else v for v in row]
        for row in joined.x.astype(object).to_numpy().tolist()
    ]
    # One row at a time, as an idle predict service computes them.
    expected = {
        key: float(release.probabilities([row])[0])
        for key, row in zip(joined.frame[joined.key], rows, strict=True)
    }
    threshold = release.contract.threshold
    assert scores(promoted, scored.scoring_id) == {k: (p, p >= threshold) for k, p in expected.items()}
    assert scored.positive == sum(p >= threshold for p in expected.values())


def test_a_scoring_is_recorded_with_what_it_was_made_of(promoted):
    scored = score_as_of(promoted)
    with transaction(promoted.database) as connection:
        row = connection.execute(
            sa.text("SELECT * FROM streamflow.scorings WHERE scoring_id = :n"), {"n": scored.scoring_id}
        ).one()
    assert (row.model, row.version, row.fingerprint) == (scored.model, scored.version, scored.fingerprint)
    assert (row.as_of, row.known_at) == (datetime(2024, 2, 29, tzinfo=UTC), scored.known_at)
    assert scored.scored == len(scores(promoted, scored.scoring_id)) == 7043


def test_the_command_prints_one_json_document(promoted, monkeypatch):
    from streamflow.cli.main import app

    monkeypatch.setenv("STREAMFLOW_HOME", str(promoted.home))
    result = CliRunner().invoke(app, ["score", "--as-of", "2024-01-31", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["scored"], document["refused"]) == (7043, {})
    assert document["as_of"] == "2024-01-31T00:00:00+00:00"


def test_later_drops_and_later_loads_do_not_reach_an_earlier_view(promoted):
    """With a known-at before February was loaded, the newest drop is January's."""
    january = score_as_of(promoted, JANUARY)
    with transaction(promoted.database) as connection:
        before = connection.execute(
            sa.text("SELECT max(loaded_at) FROM streamflow.drops WHERE as_of = '2024-01-31+00'")
        ).scalar_one()
    then = score_as_of(promoted, known_at=before)
    assert then.as_of == datetime(2024, 1, 31, tzinfo=UTC)
    assert scores(promoted, then.scoring_id) == scores(promoted, january.scoring_id)


def number_of_scores(settings):
    with transaction(settings.database) as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM streamflow.scores").scalar_one()


def test_the_schedule_scores_only_what_is_new(promoted):
    assert isinstance(score(promoted), ScoreResult)
    before = number_of_scores(promoted)
    again = score(promoted)
    assert isinstance(again, ScoreSkipped)
    assert again.as_of == datetime(2024, 2, 29, tzinfo=UTC)
    assert number_of_scores(promoted) == before
    # After a manual scoring of January, the schedule makes the newest scores those of the newest drop again.
    score_as_of(promoted, JANUARY)
    assert isinstance(score(promoted), ScoreResult)


def test_the_schedule_scores_again_when_a_drop_was_corrected(promoted):
    score(promoted)
    with transaction(promoted.database) as connection:
        connection.exec_driver_sql(
            "INSERT INTO streamflow.drops SELECT 'corrected', as_of, sequence + 1, 'x', clock_timestamp(),"
            " loaded_by, origin, 0, 0 FROM streamflow.drops WHERE as_of = '2024-02-29+00'"
        )
    assert isinstance(score(promoted), ScoreResult)
    assert isinstance(score(promoted), ScoreSkipped)


def test_the_schedule_scores_again_when_another_version_was_promoted(promoted):
    from streamflow.challenger import train

    first = score(promoted)
    version = train(promoted, FEBRUARY, estimator="logistic_regression").version
    for alias in ("staging", "production"):
        promote(promoted.backends, version, alias, why="a test", by="tests")
    second = score(promoted)
    assert isinstance(second, ScoreResult)
    assert second.version == version != first.version


def test_a_date_before_all_drops_is_not_found(promoted):
    with pytest.raises(NotFound, match="no drop"):
        score_as_of(promoted, date(2023, 1, 1))


def test_without_a_promoted_version_nothing_is_scored(settings, mlflow_server):
    with pytest.raises(NotFound, match="models promote"):
        score_as_of(settings)


@pytest.mark.timeout(120)
def test_an_error_amid_the_chunks_ends_the_scoring(promoted, monkeypatch):
    """The rollback once waited for ever for a COPY that nobody read on."""

    def fail(_matrix):
        raise MemoryError("no memory for a chunk")

    model_of, before = run.model_of, number_of_scores(promoted)
    monkeypatch.setattr(run, "CHUNK_ROWS", 100)
    monkeypatch.setattr(run, "model_of", lambda release: replace(model_of(release), infer=fail))
    with pytest.raises(MemoryError, match="for a chunk"):
        score_as_of(promoted, JANUARY)
    assert number_of_scores(promoted) == before


def test_users_without_complete_and_fresh_features_get_no_score(promoted):
    """Must run last in this module: it adds users to the January drop."""
    with transaction(promoted.database) as connection:
        at = datetime(2024, 1, 31, tzinfo=UTC)
        january = add_drop(connection, "more users", at)
        before = add_drop(connection, "a day before", at - timedelta(days=1))
        copies = {"complete": {}, "gone": {}, "null": {"usage_agg_30d": ["watch_hours_30d"]}, "norow": {}}
        for table in definitions.load(promoted.feast.repo).tables:
            columns = [c.name for c in table.columns]
            for user, nulls in copies.items():
                if user == "norow" and table.name == "payments_agg_90d":
                    continue
                selected = ["NULL" if c in nulls.get(table.name, ()) else c for c in columns]
                number = before if user == "gone" else january
                connection.execute(
                    sa.text(
                        f"INSERT INTO source.{table.name} (user_id, {', '.join(columns)}, drop_number)"
                        f" SELECT 'test:{user}', {', '.join(selected)}, {number}"
                        f" FROM features.{table.snapshots} WHERE as_of = :as_of AND user_id = '7590-VHVEG'"
                    ),
                    {"as_of": at},
                )
    scored = score_as_of(promoted, JANUARY)
    assert scored.scored == 7044
    assert scored.refused == {"no_row": 1, "null_values": 1, "stale": 1}
    assert scored.features == {
        "usage_agg_30d_fv:watch_hours_30d": 1,
        "payments_agg_90d_fv:failed_payments_90d": 1,
    }
    found = scores(promoted, scored.scoring_id)
    assert found["test:complete"] == found["7590-VHVEG"]
    assert not {"test:gone", "test:null", "test:norow"} & set(found)
    with transaction(promoted.database) as connection:
        refused = sa.text("SELECT reason, entities FROM streamflow.scoring_refusals WHERE scoring_id = :n")
        held = dict(connection.execute(refused, {"n": scored.scoring_id}).all())
    assert held == scored.refused

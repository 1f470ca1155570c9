"""From drops to scores with `engine: spark`: each job gives what it gives with PostgreSQL."""

import pytest
from spark_scores import promoted, rows, scores

from streamflow.apply import apply
from streamflow.audit.reproduce.rerun import reproduce
from streamflow.challenger import train
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.monitor import monitor
from streamflow.jobs.score import score_as_of
from streamflow.jobs.training_sets import builder, rebuilder
from streamflow.local.simulate import Simulation, simulate
from streamflow.registry.served import served_release

pytestmark = [pytest.mark.postgres, pytest.mark.stack, pytest.mark.timeout(1200)]


@pytest.fixture
def on_spark(settings, mlflow_server, lake, spark_settings, spark_session, tmp_path):
    """The months of `module_simulated`, ingested into a lake and materialized from it."""
    made = settings.model_copy(update={"engine": "spark", "lake": lake, "spark": spark_settings})
    apply(made)
    for drop in simulate(made.feast.repo, tmp_path / "drops", Simulation(users=500, months=2)):
        ingest_folder(made, drop.folder, drop.as_of)
    return made


def online(settings, view):
    statement = f"SELECT to_jsonb(t) - 'created_timestamp' - 'materialization_id' FROM online.{view} t"
    return sorted(map(str, rows(settings, statement)))


def served(settings):
    return served_release(settings.database, settings.mlflow.registered_model).contract


def test_every_job_gives_what_it_gives_with_postgresql(module_simulated, on_spark):
    there, here = (materialize(settings).views for settings in (module_simulated, on_spark))
    assert [(view.feature_view, view.entities) for view in there] == [
        (view.feature_view, view.entities) for view in here
    ]
    for view in here:
        assert online(on_spark, view.feature_view) == online(module_simulated, view.feature_view)

    trained = train(on_spark, estimator="logistic_regression", build=builder(on_spark))
    promoted(on_spark, trained.version)
    promoted(module_simulated, 2)
    assert served(on_spark).fingerprint == served(module_simulated).fingerprint
    done = reproduce(
        on_spark.backends, on_spark.training, on_spark.build, trained.run_id, rebuilder(on_spark)
    )
    assert (done.verdict, done.trained_on) == ("reproduced", "rebuilt"), done.layers

    theirs, ours = score_as_of(module_simulated), score_as_of(on_spark)
    assert ours.scored > 400
    assert scores(on_spark, ours.scoring_id) == scores(module_simulated, theirs.scoring_id)
    assert (ours.scored, ours.refused, ours.features) == (theirs.scored, theirs.refused, theirs.features)

    assert not rows(
        on_spark, "SELECT FROM pg_class WHERE relnamespace = 'source'::regnamespace AND relkind = 'r'"
    )
    of_tables, of_lake = monitor(module_simulated), monitor(on_spark)
    assert (of_lake.tables, of_lake.views) == (of_tables.tables, of_tables.views)
    assert (of_lake.drift, of_lake.quality) == (of_tables.drift, of_tables.quality)
    assert of_lake.quality > 0
    figures = "SELECT version, as_of, basis, rows, auc, log_loss, brier, detail - 'scoring_id' - 'release'"
    figures += " FROM monitoring.quality ORDER BY 2, 3"
    here, there = (
        [rounded(list(row[1:])) for row in rows(made, figures)] for made in (on_spark, module_simulated)
    )
    assert here == there


def rounded(value):
    """Without the last digits of sums, which depend on the order of the rows."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value

"""The pipeline with the sample drops gives the same figures and predictions on a cluster as on a laptop.

Each month is copied to the volume, and the jobs ingest, materialize and train are run from their CronJobs.
Nothing else is done by hand: what passes the gate is promoted, and predict serves it.
"""

from datetime import date

import pytest
import sqlalchemy as sa
from kubernetes_cli import ask, wait_for

from streamflow.apply import apply
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.score import score_as_of
from streamflow.jobs.train import train
from streamflow.mlflow_api import sdk
from streamflow.postgres.engine import transaction

MONTHS = {date(2024, 1, 31): "month_000", date(2024, 2, 29): "month_001"}
VERSIONS = {date(2024, 1, 31): 1, date(2024, 2, 29): 2}
FIGURES = ("auc", "accuracy", "f1", "average_precision", "log_loss", "calibration_error")


@pytest.fixture(scope="module")
def laptop(way_starts, module_settings, mlflow_server, realdata):
    """Run the same recipes in this process while the pods start; by month, the trained version and its scores."""
    address = {"tracking_uri": mlflow_server, "experiment": "way", "registered_model": "way"}
    here = module_settings.model_copy(update={"mlflow": module_settings.mlflow.model_copy(update=address)})
    apply(here)
    done = {}
    for as_of, folder in MONTHS.items():
        ingest_folder(here, realdata / folder, as_of)
        materialize(here)
        trained = train(here)
        scored = score_as_of(here)
        with sdk.client(here.mlflow) as client:
            version = client.get_model_version("way", str(trained.version))
            run = client.get_run(version.run_id)
        with transaction(here.database) as connection:
            rows = connection.execute(
                sa.text("SELECT entity, probability FROM streamflow.scores WHERE scoring_id = :id"),
                {"id": scored.scoring_id},
            ).all()
        done[as_of] = {
            "trained": (trained.version, trained.promoted),
            "fingerprint": run.data.tags["streamflow.fingerprint"],
            "figures": {name: run.data.metrics[name] for name in FIGURES},
            "scores": {row.entity: row.probability for row in rows},
        }
    return done


@pytest.fixture(scope="module")
def months(laptop, way, realdata, figures):
    """By month, the version that the cluster trained and serves, and its predictions."""
    done = {}
    for as_of, folder in MONTHS.items():
        way.drop(realdata / folder, as_of.isoformat())
        done[as_of] = month_on_the_cluster(way, sorted(laptop[as_of]["scores"]))
        figures(
            f"{as_of}: version {done[as_of]['trained'][0]} {done[as_of]['why']}; {done[as_of]['figures']}"
        )
    return done


def month_on_the_cluster(way, users):
    """Run the jobs of one month; return their results, and predict's answers for these users."""
    ingested = way.job("ingest")
    way.job("materialize")
    trained = way.job("train")
    with way.forwarded(f"{way.name}-predict", 80) as url:
        served = wait_for(lambda: served_version(url, trained["version"]), "predict serves it", timeout=120)
        online = predictions(url, users)
    with way.forwarded(f"{way.name}-mlflow", 5000) as url:
        login = way.login("viewer")
        version = version_of(url, trained["version"], login)
        metrics, tags = figures_and_tags(url, version["run_id"], login)
    scoring = way.job("score")["scoring_id"]
    rows = way.sql(f"SELECT entity, probability FROM streamflow.scores WHERE scoring_id = {scoring}")
    return {
        "ingested": [item["as_of"][:10] for item in ingested["drops"]],
        "trained": (trained["version"], trained["promoted"]),
        "why": trained["why"],
        "served": served,
        "fingerprint": tags["streamflow.fingerprint"],
        "figures": {name: metrics[name] for name in FIGURES},
        "scores": {user: float(probability) for user, probability in rows},
        "online": online,
    }


def predictions(url, users):
    """Request predictions in batches; return the probability by user."""
    found = {}
    for start in range(0, len(users), 500):
        status, answer = ask(f"{url}/predict/batch", {"user_ids": users[start : start + 500]}, timeout=120)
        assert status == 200, answer
        found |= {item["user_id"]: item.get("probability") for item in answer["predictions"]}
    return found


def served_version(url, version):
    status, health = ask(f"{url}/health")
    return health["model"]["version"] if status == 200 and health["model"]["version"] == version else None


def version_of(url, version, login):
    path = f"model-versions/get?name=streamflow_churn&version={version}"
    status, found = ask(f"{url}/api/2.0/mlflow/{path}", login=login)
    assert status == 200, found
    return found["model_version"]


def figures_and_tags(url, run, login):
    status, found = ask(f"{url}/api/2.0/mlflow/runs/get?run_id={run}", login=login)
    assert status == 200, found
    data = found["run"]["data"]
    return tuple({item["key"]: item["value"] for item in data[kind]} for kind in ("metrics", "tags"))


@pytest.mark.parametrize("as_of", MONTHS)
def test_a_new_month_is_ingested_learnt_from_gated_promoted_and_served_with_nobody_touching_anything(
    months, as_of
):
    month = months[as_of]
    assert month["ingested"] == [as_of.isoformat()]
    assert month["trained"] == (VERSIONS[as_of], True), month["why"]
    assert month["why"].startswith("passed the gate")
    assert month["served"] == VERSIONS[as_of]


@pytest.mark.parametrize("as_of", MONTHS)
def test_training_comes_out_as_on_a_laptop(months, laptop, as_of):
    for what in ("trained", "fingerprint", "figures"):
        assert months[as_of][what] == laptop[as_of][what]


@pytest.mark.parametrize("as_of", MONTHS)
def test_every_score_is_as_on_a_laptop_to_the_last_digit(months, laptop, as_of):
    assert len(laptop[as_of]["scores"]) > 6000
    assert months[as_of]["scores"] == laptop[as_of]["scores"]


def test_every_scoring_was_shared_by_the_two_pods_of_a_job(way, months):
    shared = way.sql(
        "SELECT r.run, count(*), min(s.scored) > 3000 FROM streamflow.scorings"
        " JOIN streamflow.scoring_runs r USING (scoring_id) JOIN streamflow.scoring_shards s USING (run) GROUP BY r.run"
    )
    jobs = {job["metadata"]["uid"] for job in way.get("jobs", "--selector=streamflow.io/job=score")}
    assert {run for run, _, _ in shared} == jobs
    assert [(int(pods), large) for _, pods, large in shared] == [(2, "t")] * len(MONTHS)


@pytest.mark.parametrize("as_of", MONTHS)
def test_every_prediction_is_as_on_a_laptop_to_the_last_digit(months, laptop, as_of):
    assert months[as_of]["online"] == laptop[as_of]["scores"]


def test_ingest_leaves_a_taken_drop_alone(way, months):
    assert way.job("ingest")["drops"] == []


def test_training_does_nothing_without_a_new_drop(way, months):
    facts = way.job("train")
    assert (facts["version"], facts["why"]) == (None, "no drop is new since the last training")

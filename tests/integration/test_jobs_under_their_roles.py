"""All jobs in the order of the data, each with its own PostgreSQL role, as the chart runs them."""

import hashlib
import json
import urllib.request
import uuid
from datetime import date

import prepared
import pytest
import sqlalchemy as sa
from exported import by_label

from streamflow.jobs import catalog, run
from streamflow.jobs.score import score_as_of
from streamflow.jobs.shards import run_shard
from streamflow.mlflow_api import sdk
from streamflow.model_version import tags
from streamflow.monitoring.report import keep
from streamflow.postgres.engine import transaction
from streamflow.registrar import api_answers
from streamflow.schema import roles
from streamflow.settings import (
    BackupSettings,
    ErasureSettings,
    IngestSettings,
    MlflowSettings,
    RequestSettings,
    RetentionSettings,
    ScoringSettings,
)

pytestmark = [pytest.mark.stack, pytest.mark.postgres]
PASSWORDS = {name: f"{name}-{uuid.uuid4().hex}" for name in roles.LOGINS}


@pytest.fixture(params=[prepared.by_the_job, prepared.by_hand], ids=["roles by the Job", "roles by hand"])
def installed(request, settings, mlflow_server, tmp_path):
    """A prepared database, and an inbox with two simulated months."""
    from streamflow.apply import apply
    from streamflow.local.simulate import Simulation, simulate

    inbox = tmp_path / "inbox"
    simulate(settings.feast.repo, inbox, Simulation(users=800, months=2, seed=1))
    mlflow = settings.mlflow.model_dump() | {"tracking_uri": mlflow_server}
    made = prepared.named(settings).model_copy(
        update={
            "mlflow": MlflowSettings(**mlflow),
            "ingest": IngestSettings(inbox=str(inbox)),
            # The server of the tests keeps its versions in another database than the one that is backed up.
            "backup": BackupSettings(folder=tmp_path / "backups"),
        }
    )
    try:
        request.param(made, PASSWORDS, apply)
        yield made
    finally:
        prepared.remove(made, PASSWORDS)


def as_role(settings, role):
    return prepared.as_role(settings, PASSWORDS, role)


def worker(settings, role):
    """Settings of a job's pod. MLflow's server has a database that is not of this install, so backups ask its API."""
    made = as_role(settings, role)
    if role != "backup":
        return made
    return made.model_copy(
        update={"database": made.database.model_copy(update={"mlflow_name": "not_of_this_install"})}
    )


def facts(settings, job):
    with transaction(settings.database) as connection:
        row = connection.execute(
            sa.text(
                "SELECT outcome, message, facts FROM streamflow.job_runs WHERE job = :job ORDER BY run_id DESC LIMIT 1"
            ),
            {"job": job},
        ).one()
    assert row.outcome == "done", row.message
    return row.facts


def test_every_job_does_its_work_with_its_own_role_alone(installed):
    from streamflow.apply import apply

    for _ in range(2):
        # The second round meets online tables that the first one swapped, and no new drop.
        for job in ("ingest", "materialize", "train", "score", "monitor", "audit", "backup"):
            # `audit` has no role of its own: it records external changes, which the role of `train` may do.
            role = "train" if job == "audit" else job
            code = run.run(worker(installed, role), job, catalog.recipe(job))
            assert (job, code) == (job, 0), facts(installed, job)
        apply(as_role(installed, "feast_apply"))
    assert facts(installed, "train")["why"] == "no drop is new since the last training"
    assert facts(installed, "monitor")["quality"] == 0
    with transaction(as_role(installed, "exporter").database) as connection:
        bases = (
            connection.exec_driver_sql("SELECT basis FROM monitoring.quality ORDER BY basis").scalars().all()
        )
    assert bases == ["estimated", "realized"]
    keeps_one_report(installed)
    shares_a_scoring_as_its_role(installed)
    asks_the_registrar_as_its_role(installed)
    reads_online_features_as(as_role(installed, "feast_serve"))
    with transaction(as_role(installed, "predict").database) as connection:
        online = connection.exec_driver_sql("SELECT count(*) FROM online.usage_agg_30d_fv").scalar_one()
    assert online == entities(installed) >= 800
    erases_somebody_as_its_role(installed)
    with urllib.request.urlopen(f"{installed.mlflow.tracking_uri}/health") as response:
        assert response.status == 200


def keeps_one_report(installed):
    """The first round made the report of the month, and the second one found it there."""
    with sdk.client(installed.mlflow) as client:
        kept = client.get_experiment_by_name(keep.experiment(installed.mlflow))
        digest = facts(installed, "monitor")["report"]
        (found,) = client.search_runs([kept.experiment_id], f"tags.`{tags.REPORT_SHA256}` = '{digest}'")
        text = sdk.artifact(lambda path: client.download_artifacts(found.info.run_id, path), keep.FILE)
    assert hashlib.sha256(text).hexdigest() == digest
    assert b"as of 2024-02-29" in text and found.data.tags["streamflow.as_of"] == "2024-02-29"


def shares_a_scoring_as_its_role(installed):
    """After a scoring of the older month, the newest one is due again."""
    score = worker(installed, "score")
    score_as_of(score, date(2024, 1, 31))
    for index in range(2):
        ours = ScoringSettings(shards=2, shard=index, run="as its role")
        assert run_shard(score.model_copy(update={"scoring": ours})) == 0
    assert facts(installed, "score")["as_of"] == "2024-02-29T00:00:00Z"


def asks_the_registrar_as_its_role(installed):
    """The registrar refuses what is asked for, because the first training promoted the version."""
    request = RequestSettings(version=1, why="asked for it", by="tests", key="1", wait_seconds=1e-9)
    asking = worker(installed, "train").model_copy(update={"request": request})
    assert run.run(asking, "promote", catalog.recipe("promote")) == 4
    registrar = as_role(installed, "registrar")
    (row,) = api_answers.answer_waiting(registrar.backends, registrar.promotion)
    assert run.run(asking, "promote", catalog.recipe("promote")) == 3
    with transaction(installed.database) as connection:
        found = connection.exec_driver_sql(
            "SELECT login, asked_by, promotion_id FROM streamflow.promotion_requests"
        ).one()
    assert found == (asking.database.user, "tests", row.promotion_id)


def erases_somebody_as_its_role(installed):
    with transaction(installed.database) as connection:
        somebody = connection.exec_driver_sql("SELECT min(user_id) FROM source.users").scalar_one()
    request = installed.backup.folder / "request"
    request.write_text(json.dumps({"user_id": somebody, "why": "asked for it", "by": "tests"}))
    key = ErasureSettings(key="the key of the tests' list", request_file=request)
    code = run.run(
        as_role(installed, "erase").model_copy(update={"erasure": key}), "erase", catalog.recipe("erase")
    )
    assert (code, facts(installed, "erase")["runs"]) == (0, 1), facts(installed, "erase")
    assert facts(installed, "erase")["rows"]["source.users"] == 2
    assert somebody not in str(facts(installed, "erase"))
    months = RetentionSettings(months=1)
    code = run.run(
        as_role(installed, "erase").model_copy(update={"retention": months}),
        "retention",
        catalog.recipe("retention"),
    )
    assert code == 0, facts(installed, "retention")
    assert facts(installed, "retention")["before"]
    for job in ("train", "monitor", "audit", "backup"):
        role = "train" if job == "audit" else job
        assert run.run(worker(installed, role), job, catalog.recipe(job)) == 0
    assert facts(installed, "audit")["chain_ok"]


def test_before_the_first_drop_no_job_fails(installed, tmp_path):
    """After an install the schedules run before a drop arrives; that must not raise an alert."""
    empty = tmp_path / "empty"
    empty.mkdir()
    waiting = installed.model_copy(update={"ingest": IngestSettings(inbox=str(empty))})
    for job in ("ingest", "materialize", "train", "score", "parity", "monitor"):
        role = "score" if job == "parity" else job
        code = run.run(as_role(waiting, role), job, catalog.recipe(job))
        assert (job, code) == (job, 0), facts(waiting, job)
        assert job == "ingest" or facts(waiting, job)["idle"]
    good = by_label(as_role(waiting, "exporter"), "streamflow_job_last_run_ok", "job_name")
    assert good == dict.fromkeys(("ingest", "materialize", "train", "score", "parity", "monitor"), 1.0)


def test_a_version_that_is_no_longer_promoted_is_a_failure_of_the_jobs_that_need_it(installed):
    with transaction(installed.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.promotions (moved_at, moved_by, model, alias, to_version, action, why)"
                " VALUES (now(), 'me', :model, 'production', 1, 'promote', 'first')"
            ),
            {"model": installed.mlflow.registered_model},
        )
    assert run.run(as_role(installed, "score"), "score", catalog.recipe("score")) == 3


def entities(settings):
    with transaction(settings.database) as connection:
        return connection.exec_driver_sql("SELECT count(DISTINCT user_id) FROM source.users").scalar_one()


def reads_online_features_as(settings):
    from streamflow.features.store import open_store

    answer = open_store(settings.database, settings.feast.repo).get_online_features(
        features=["usage_agg_30d_fv:watch_hours_30d"], entity_rows=[{"user_id": "probe:nobody"}]
    )
    assert answer.to_dict()["watch_hours_30d"] == [None]

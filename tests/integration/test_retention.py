"""Retention: old scores and old job runs are deleted. On a real PostgreSQL."""

import prepared
import pytest
import sqlalchemy as sa
from exported import samples

from streamflow.jobs.run import run
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import Idle
from streamflow.postgres.job_runs import forget as forget_runs
from streamflow.schema import roles
from streamflow.scoring.score import forget

pytestmark = pytest.mark.postgres
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}


@pytest.fixture
def installed(settings):
    """A separate database with all roles."""
    made = prepared.named(settings)
    try:
        prepared.by_the_job(made, PASSWORDS, lambda _: None)
        yield made
    finally:
        prepared.remove(made, PASSWORDS)


def as_role(settings, role):
    return prepared.as_role(settings, PASSWORDS, role)


def scored(settings, model):
    with transaction(settings.database) as connection:
        number = connection.execute(
            sa.text(
                "INSERT INTO streamflow.scorings (model, version, fingerprint, as_of, known_at)"
                " VALUES (:model, 1, 'f', now(), now()) RETURNING scoring_id"
            ),
            {"model": model},
        ).scalar_one()
        connection.execute(
            sa.text("INSERT INTO streamflow.scores VALUES (:n, 'ada', 0.5, true)"), {"n": number}
        )
        connection.execute(
            sa.text("INSERT INTO streamflow.scoring_refusals VALUES (:n, 'stale', 1)"), {"n": number}
        )
    return number


def column(settings, statement):
    with transaction(settings.database) as connection:
        return list(connection.execute(sa.text(statement)).scalars())


def test_the_newest_scores_of_each_model_stay_and_all_scorings_stay_on_record(installed):
    score = as_role(installed, "score")
    churn = [scored(score, "churn") for _ in range(4)]
    other = scored(score, "other")
    for _ in range(2):
        with transaction(score.database) as connection:
            forget(connection, "churn", 2)
    for table in ("scores", "scoring_refusals"):
        held = column(installed, f"SELECT scoring_id FROM streamflow.{table} ORDER BY scoring_id")
        assert held == [*churn[2:], other]
    removed = "SELECT scoring_id FROM streamflow.scorings WHERE removed_at IS NOT NULL ORDER BY scoring_id"
    assert column(installed, removed) == churn[:2]


@pytest.mark.parametrize(
    "call", ["keep_scores('churn', 1)", "keep_job_runs('train', 1)"], ids=["scores", "job runs"]
)
def test_who_may_not_write_history_may_not_shorten_it(installed, call):
    with (
        pytest.raises(sa.exc.ProgrammingError, match="permission denied for function keep_"),
        transaction(as_role(installed, "predict").database) as connection,
    ):
        connection.exec_driver_sql(f"SELECT streamflow.{call}")


def test_a_job_forgets_its_own_runs_alone(installed):
    for job in ("train", "audit"):
        with transaction(as_role(installed, "train").database) as connection:
            forget_runs(connection, job, 90)
    with (
        pytest.raises(sa.exc.ProgrammingError, match="_train may not write outcomes of the job ingest"),
        transaction(as_role(installed, "train").database) as connection,
    ):
        forget_runs(connection, "ingest", 90)


@pytest.mark.parametrize(
    ("role", "call"), [("predict", "keep_prediction_log(6)"), ("train", "keep_job_runs('train', 6)")]
)
def test_nobody_keeps_less_than_the_owner_says(installed, role, call):
    with (
        pytest.raises(sa.exc.ProgrammingError, match=r"kept for at least 7 days, and .* asks for 6"),
        transaction(as_role(installed, role).database) as connection,
    ):
        connection.exec_driver_sql(f"SELECT streamflow.{call}")
    with (
        pytest.raises(sa.exc.ProgrammingError, match="permission denied"),
        transaction(as_role(installed, role).database) as connection,
    ):
        connection.exec_driver_sql("UPDATE streamflow.least_kept SET least = 1")


@pytest.mark.parametrize("call", ["keep_scores('churn', 0)", "keep_job_runs('train', 0)"])
def test_nothing_is_forgotten_whole(installed, call):
    with (
        pytest.raises(sa.exc.DBAPIError, match="not possible"),
        transaction(installed.database) as connection,
    ):
        connection.exec_driver_sql(f"SELECT streamflow.{call}")


def ran(settings, job, outcome, days):
    with transaction(settings.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.job_runs (job, started_at, ended_at, outcome, message) VALUES"
                " (:job, now() - make_interval(days => :days), now() - make_interval(days => :days), :outcome, :days)"
            ),
            {"job": job, "outcome": outcome, "days": days},
        )


def counted(settings, job):
    return {
        sample.labels["outcome"]: sample.value
        for sample in samples(settings)
        if sample.name == "streamflow_job_runs_total" and sample.labels["job_name"] == job
    }


def test_a_job_forgets_its_old_runs_but_not_its_last_success_nor_how_many_there_were(installed):
    for days in (400, 300, 200):
        ran(installed, "train", "done", days)
    for days in (190, 180, 10):
        ran(installed, "train", "failed", days)
    ran(installed, "ingest", "done", 400)
    with transaction(installed.database) as connection:
        connection.exec_driver_sql(
            "INSERT INTO streamflow.job_starts (job, started_at) VALUES ('train', now() - interval '400 days')"
        )
    train = as_role(installed, "train")
    assert run(train, "train", lambda _: 1 / 0) == 1
    left_by_the_bug = column(
        installed, "SELECT message FROM streamflow.job_runs ORDER BY run_id DESC LIMIT 1"
    )[0]
    assert "ZeroDivisionError at" in left_by_the_bug
    left = "SELECT message FROM streamflow.job_runs WHERE job = 'train' ORDER BY run_id"
    assert len(column(installed, "SELECT start_id FROM streamflow.job_starts WHERE job = 'train'")) == 1
    assert column(installed, left) == ["200", "10", left_by_the_bug]
    assert column(installed, "SELECT job FROM streamflow.job_runs WHERE job = 'ingest'") == ["ingest"]
    assert counted(as_role(installed, "exporter"), "train") == {"done": 3, "failed": 4}
    assert run(train, "train", lambda _: Idle("nothing to do")) == 0
    assert counted(as_role(installed, "exporter"), "train") == {"done": 4, "failed": 4}

"""On the sample drops, January's version does harm in February: what is recorded, and that a training answers it once.

The tests run in this order, since each builds on what is recorded.
"""

import json
import uuid
from datetime import UTC, date, datetime

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from streamflow.challenger import train
from streamflow.jobs.score import score_as_of
from streamflow.jobs.train import train as job_train
from streamflow.monitoring.harm import judge as harm
from streamflow.monitoring.harm import record
from streamflow.postgres.engine import transaction
from streamflow.registry import trail
from streamflow.registry.promote import promote, rollback
from streamflow.settings import RetrainSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack]

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


@pytest.fixture(scope="module")
def on_harm(world):
    """The sample drops, January's version in production, both months scored, and a training on harm alone."""
    training = world.training.model_copy(update={"estimators": ("logistic_regression",)})
    made = world.model_copy(update={"training": training, "retrain": RetrainSettings(policy="on_harm")})
    version = train(made, JANUARY, estimator="logistic_regression").version
    for alias in ("staging", "production"):
        promote(made.backends, version, alias, why="a test", by="tests")
    for as_of in (JANUARY, FEBRUARY):
        score_as_of(made, as_of)
    return made


def verdicts(settings, version=1):
    with transaction(settings.database) as connection:
        return record.verdicts(connection, settings.mlflow.registered_model, version)


def judge(settings):
    model, repo = settings.mlflow.registered_model, settings.feast.repo
    return harm.judge(settings.database, model, repo, settings.monitoring)


def test_a_new_drop_alone_starts_no_training(on_harm):
    """The job has trained on no drop yet, so both are new to it."""
    result = job_train(on_harm)
    assert (result.version, result.drops) == (None, ())
    assert result.why == "a drop is new, but monitoring shows no new harm by version 1"


@pytest.fixture
def reader(on_harm):
    """Settings of a login that may read everything and add nothing."""
    name = f"reader_{uuid.uuid4().hex[:8]}"
    with transaction(on_harm.database) as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD 'reads' IN ROLE pg_read_all_data")
    login = on_harm.database.model_copy(
        update={"user": name, "password": SecretStr("reads"), "password_file": None}
    )
    yield on_harm.model_copy(update={"database": login})
    with transaction(on_harm.database) as connection:
        connection.exec_driver_sql(f"DROP ROLE {name}")


def test_a_login_that_may_not_add_verdicts_judges_nothing(on_harm, reader):
    assert judge(reader).version == 1
    assert verdicts(on_harm) == []


def test_the_month_after_the_training_set_is_judged_on_both_bases(on_harm):
    served = judge(on_harm)
    found = verdicts(on_harm)
    assert [(each.basis, each.as_of, each.position, each.rows) for each in found] == [
        (basis, datetime(2024, 2, 29, tzinfo=UTC), 1, 7043) for basis in ("estimated", "realized")
    ]
    estimated, realized = found
    assert (estimated.verdict, realized.verdict) == ("not_shown", "harmful")
    assert abs(estimated.loss - estimated.reference_loss) < 0.01
    assert realized.loss_low > realized.reference_high + realized.tolerance
    assert (estimated.label_drop_id, realized.label_drop_id) == ("", realized.drop_id)
    assert (served.version, served.harm.harm_id) == (1, realized.harm_id)
    assert served.trained_at is not None


def test_a_month_is_judged_once(on_harm):
    before = verdicts(on_harm)
    judge(on_harm)
    assert verdicts(on_harm) == before


def test_the_command_shows_every_verdict_or_those_of_a_month(on_harm, monkeypatch):
    from streamflow.cli.main import app

    monkeypatch.setenv("STREAMFLOW_HOME", str(on_harm.home))

    def output(*options):
        result = CliRunner().invoke(app, ["monitor", "harm", *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    document = json.loads(output("--json"))
    assert (document["version"], document["harmful"]) == (1, True)
    assert [each["verdict"] for each in document["verdicts"]] == ["not_shown", "harmful"]
    assert document["verdicts"][1]["loss"] == verdicts(on_harm)[1].loss
    assert json.loads(output("--as-of", "2024-01-31", "--json"))["verdicts"] == []
    text = output()
    assert "Version 1 does harm." in text
    assert "the loss is at least" in text


def test_harm_starts_a_training_and_the_trail_names_the_verdict(on_harm):
    shown = verdicts(on_harm)[1]
    result = job_train(on_harm)
    assert result.version == 2
    assert "because version 1 does harm: its realized loss as of 2024-02-29" in result.why
    staged = next(
        move
        for move in trail.history(on_harm.database, on_harm.mlflow.registered_model)
        if move.to_version == 2 and move.alias == "staging"
    )
    assert staged.why.startswith("trained as of 2024-02-29, because version 1 does harm")
    assert staged.facts["answers_harm"] == {
        "harm_id": shown.harm_id,
        "basis": "realized",
        "as_of": "2024-02-29",
        "loss": shown.loss,
        "loss_low": shown.loss_low,
        "reference_high": shown.reference_high,
        "tolerance": 0.01,
    }


def test_harm_is_answered_once_even_if_its_version_is_in_production_again(on_harm):
    """As it is when the gate refuses the new version."""
    rollback(on_harm.backends, why="a test", by="tests")
    served = judge(on_harm)
    assert (served.version, served.harm) == (1, None)
    assert job_train(on_harm).version is None


def test_a_corrected_month_gets_verdicts_of_its_own(on_harm):
    with transaction(on_harm.database) as connection:
        connection.exec_driver_sql(
            "INSERT INTO streamflow.drops SELECT 'corrected', as_of, sequence + 1, 'x', clock_timestamp(),"
            " loaded_by, origin, 0, 0 FROM streamflow.drops WHERE as_of = '2024-02-29+00'"
        )
    score_as_of(on_harm, FEBRUARY)
    judge(on_harm)
    first, later = verdicts(on_harm)[:2], verdicts(on_harm)[2:]
    assert {(each.basis, each.drop_id) for each in later} >= {
        ("estimated", "corrected"),
        ("realized", "corrected"),
    }
    assert min(each.position for each in later) == 2
    assert later[-1].alpha < first[0].alpha / 3
    assert judge(on_harm).harm.harm_id == later[-1].harm_id

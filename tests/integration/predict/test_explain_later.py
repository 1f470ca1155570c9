"""Answers of a real predict service, replayed after everything has changed."""

import json
import shutil
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from streamflow.audit.replay import Question, answer, replay
from streamflow.challenger import train
from streamflow.errors import NotFound, Refused, ReleaseRefused
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import registry
from streamflow.postgres.engine import transaction
from streamflow.registry import artifacts, trial, versions
from streamflow.registry.promote import demote, promote, rollback
from streamflow.repo import definitions

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)
WHO = {"why": "a test", "by": "ada"}
USERS = ("7590-VHVEG", "5575-GNVDE", "3668-QPYBK")


def into_production(settings, version):
    promote(settings.backends, version, "staging", **WHO)
    promote(settings.backends, version, "production", **WHO)


def ask(settings, service, version):
    """Answers of the service, once it serves that version and knows the newest as-of."""
    service.until(lambda: service.version() == version)
    answers = {}
    for user in USERS:
        response = service.until(lambda user=user: (r := service.predict(user)).status_code == 200 and r)
        answers[user] = response.json()["probability"]
    return datetime.now(UTC), answers


def logged(settings):
    with transaction(settings.database) as connection:
        return connection.execute(sa.text("SELECT count(*) FROM streamflow.predictions")).scalar_one()


@pytest.fixture(scope="module")
def past(world, start, realdata, tmp_path_factory):
    """Four moments with the answers of the service; data and versions change between them."""
    corrected = tmp_path_factory.mktemp("corrected") / "drop"
    shutil.copytree(realdata / "month_000", corrected)
    usage = corrected / "usage_agg_30d.csv"
    header, *lines = usage.read_text().splitlines()
    column = header.split(",").index("watch_hours_30d")

    def more(line):
        cells = line.split(",")
        cells[column] = "1.5"
        return ",".join(cells)

    usage.write_text("\n".join([header, *map(more, lines), ""]))
    moments = [(datetime.now(UTC), {})]
    with start(world, STREAMFLOW_PREDICT__LOG_SHARE="1") as service:
        first = train(world, JANUARY, estimator="logistic_regression").version
        materialize(world, JANUARY)
        into_production(world, first)
        moments.append(ask(world, service, first))

        second = train(world, JANUARY, estimator="gradient_boosting").version
        assert ingest_folder(world, corrected, JANUARY).changed
        into_production(world, second)
        moments.append(ask(world, service, second))

        materialize(world, JANUARY)
        moments.append(ask(world, service, second))

        materialize(world, FEBRUARY)
        rollback(world.backends, **WHO)
        newest = datetime(2024, 2, 29, tzinfo=UTC).timestamp()
        service.until(lambda: service.metric("streamflow_newest_as_of_timestamp_seconds") == newest)
        moments.append(ask(world, service, first))
        service.until(lambda: logged(world) >= 4 * len(USERS))
    return first, second, moments


def test_every_answer_is_replayed_to_the_last_digit(world, past):
    first, second, moments = past
    for (moment, answers), version in zip(moments[1:], (first, second, second, first), strict=True):
        for user, probability in answers.items():
            found = replay(world.backends, world.predict, user, moment)
            assert found.answer.version == found.release["version"] == version
            assert found.answer.probability == probability, (moment, user)
            assert found.logged is not None
            assert (found.logged.version, found.logged.probability) == (version, probability)
            assert found.logged.equal
    # Something did change: no two moments have the same answers.
    assert len({tuple(answers.values()) for _, answers in moments[1:]}) == 4


def test_an_explanation_names_the_drop_that_each_value_came_with(world, past):
    _, _, moments = past
    before, after = (replay(world.backends, world.predict, USERS[0], moments[i][0]) for i in (2, 3))
    usage = [next(v for v in found.answer.views if v.view == "usage_agg_30d_fv") for found in (before, after)]
    assert usage[0].as_of == usage[1].as_of
    assert usage[0].drop_id != usage[1].drop_id
    assert usage[1].values["watch_hours_30d"] == 1.5


def test_before_anything_was_in_production_there_is_nothing_to_explain(world, past):
    _, _, moments = past
    with pytest.raises(NotFound, match="Nothing was in production"):
        replay(world.backends, world.predict, USERS[0], moments[0][0])


def test_an_unknown_user_would_have_been_refused(world, past):
    _, _, moments = past
    found = replay(world.backends, world.predict, "nobody", moments[-1][0])
    assert found.answer.probability is None
    assert found.answer.refused.startswith("missing_features: no row in ")
    assert found.logged is None


def test_a_feature_missing_from_the_feature_repo_is_reported(world, past, tmp_path):
    _, _, moments = past
    folder = tmp_path / "feature_repo"
    shutil.copytree(world.feast.repo, folder, ignore=shutil.ignore_patterns("__pycache__"))
    views = folder / "feature_views.py"
    views.write_text(
        views.read_text().replace(
            '        _feature("skips_7d", Int64, unit="titles", window="7 days"),\n', ""
        )
    )
    narrow = world.model_copy(update={"feast": world.feast.model_copy(update={"repo": folder})})
    with pytest.raises(Refused, match="usage_agg_30d_fv:skips_7d"):
        replay(narrow.backends, narrow.predict, USERS[0], moments[-1][0])


UNASKED = "9237-HQITU"


def output_of(settings, monkeypatch, *words):
    from typer.testing import CliRunner

    from streamflow.cli.main import app

    monkeypatch.setenv("STREAMFLOW_HOME", str(settings.home))
    result = CliRunner().invoke(app, ["explain", *words])
    assert result.exception is None, result.exception
    return result.output


def test_a_canary_of_that_time_is_shown_with_its_answer(world, past, monkeypatch):
    _, second, _ = past
    before = datetime.now(UTC)
    trial.start(world.backends, second, "canary", **WHO)
    during = datetime.now(UTC)
    trial.stop(world.backends, "canary", **WHO)
    assert replay(world.backends, world.predict, UNASKED, before).canary is None
    assert replay(world.backends, world.predict, UNASKED, datetime.now(UTC)).canary is None
    everybody = world.model_copy(update={"predict": world.predict.model_copy(update={"canary_share": 1.0})})
    found = replay(everybody.backends, everybody.predict, UNASKED, during)
    with registry(world.mlflow) as client:
        release = artifacts.verified(
            client, world.mlflow.registered_model, versions.get(world.mlflow, second)
        ).release
    said = answer(
        Question(world.backends, world.predict, definitions.load(world.feast.repo), UNASKED, during), release
    )
    assert found.logged is None
    assert (found.canary.version, found.canary.in_share) == (second, True)
    assert found.canary.answer == said
    assert found.canary.answer.probability != found.answer.probability
    monkeypatch.setenv("STREAMFLOW_PREDICT__CANARY_SHARE", "0")
    output = " ".join(output_of(world, monkeypatch, UNASKED, "--at", during.isoformat()).split())
    assert f"Version {second} was on trial as canary" in output
    assert "This customer does not belong to its share as set now (0%)" in output


def test_a_logged_answer_is_shown_even_if_nothing_is_in_production(world, past, monkeypatch):
    first, _, _ = past
    demote(world.backends, "production", why="a test", by="tests")
    moment = datetime.now(UTC)
    found = replay(world.backends, world.predict, USERS[0], moment)
    assert (found.release, found.answer) == ({}, None)
    assert found.logged.version == first
    assert found.logged.equal
    with pytest.raises(NotFound, match="Nothing was in production"):
        replay(world.backends, world.predict, UNASKED, moment)
    output = output_of(world, monkeypatch, USERS[0], "--at", moment.isoformat())
    assert "nothing was in production" in output
    assert "the same to the last digit" in " ".join(output.split())
    assert json.loads(output_of(world, monkeypatch, USERS[0], "--json"))["answer"] is None


def test_a_modified_release_is_not_replayed(world, past, tmp_path):
    """Runs last: it corrupts a version."""
    from pathlib import Path

    first, _, moments = past
    run_id = versions.get(world.mlflow, first).run_id
    with sdk.client(world.mlflow) as client:
        path = Path(client.download_artifacts(run_id, "model/golden.json", str(tmp_path)))
        path.write_text(path.read_text() + " ")
        client.log_artifact(run_id, str(path), "model")
    with pytest.raises(ReleaseRefused, match="is not the one that was registered"):
        replay(world.backends, world.predict, USERS[0], moments[1][0])

"""Versions on trial and the prediction log: switched by alias without a restart, and harmless to requests."""

from __future__ import annotations

import contextlib
import json

import pytest
import sqlalchemy as sa
from spoilt import changed, edited

from streamflow.canary import in_canary
from streamflow.errors import NotFound, Refused
from streamflow.mlflow_api.transport import registry
from streamflow.model_version import tags as version_tags
from streamflow.model_version.aliases import TRIAL_ALIASES
from streamflow.postgres.engine import transaction
from streamflow.registry import artifacts, chain, moves, trail, transitions, trial, versions
from streamflow.registry.trail import Change


@contextlib.contextmanager
def alias(settings, name: str, version: int):
    """Put a version on trial for the duration of the block, whatever the rules say of it."""
    with registry(settings.mlflow) as client:
        model = settings.mlflow.registered_model
        verified = artifacts.verified(client, model, versions.get(settings.mlflow, version))
    verified.store(settings.database)
    with moves.promotion_lock(settings.database, settings.mlflow) as locked:
        locked.move(Change(name, None, version, "trial", "tests", "a test", release=verified.record))
    try:
        yield
    finally:
        with moves.promotion_lock(settings.database, settings.mlflow) as locked:
            locked.move(Change(name, version, None, "end trial", "tests", "a test"))


def on_trial(settings):
    """Versions on trial according to the audit trail."""
    targets = transitions.recorded(trail.history(settings.database, settings.mlflow.registered_model))
    return {alias: targets[alias] for alias in TRIAL_ALIASES if targets[alias] is not None}


def _trials(service):
    return {name: item["version"] for name, item in service.client.get("/model").json()["trials"].items()}


def test_the_command_starts_and_ends_a_trial_and_the_history_records_it(simulated, predict, monkeypatch):
    from typer.testing import CliRunner

    from streamflow.cli.main import app

    monkeypatch.setenv("STREAMFLOW_HOME", str(simulated.home))

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["trial", *words])
        assert result.exception is None, result.exception
        return result.exit_code, result.output

    code, output = run("start", "2", "--as", "challenger", "--why", "better, perhaps", "--json")
    assert (code, json.loads(output)["to_version"]) == (0, 2)
    predict.until(lambda: _trials(predict) == {"challenger": 2})
    assert on_trial(simulated) == {"challenger": 2}
    assert run("stop", "--as", "challenger", "--why", "seen enough")[0] == 0
    predict.until(lambda: _trials(predict) == {})
    done = [
        (m.action, m.alias, m.from_version, m.to_version)
        for m in trail.history(simulated.database, simulated.mlflow.registered_model)
    ][-2:]
    assert done == [("trial", "challenger", None, 2), ("end trial", "challenger", 2, None)]
    chain.verify(simulated.database, "")


def test_a_trial_needs_a_reason_and_another_version_than_the_one_in_production(simulated, predict):
    with pytest.raises(Refused, match="reason"):
        trial.start(simulated.backends, 2, "canary", why=" ", by="tests")
    with pytest.raises(Refused, match="in production itself"):
        trial.start(simulated.backends, 1, "canary", why="a test", by="tests")
    with pytest.raises(NotFound, match="Nothing is on trial"):
        trial.stop(simulated.backends, "canary", why="a test", by="tests")


def test_a_challenger_is_scored_in_shadow_and_never_answered(simulated, predict, users):
    with alias(simulated, "challenger", 2):
        predict.until(lambda: _trials(predict) == {"challenger": 2})
        for user in users[:50]:
            assert predict.predict(user).json()["model"]["version"] == 1
        # The last shadow batch may still be in progress.
        compared = predict.until(lambda: predict.metric("streamflow_shadow_difference_count", version="2"))
        assert compared > 0
        assert (
            predict.metric("streamflow_prediction_score_count", version="2", alias="challenger") >= compared
        )
        assert predict.metric("streamflow_trial_info", version="2", alias="challenger") == 1
    predict.until(lambda: _trials(predict) == {})


def test_a_canary_answers_its_share_and_always_the_same_users(simulated, start, production, users):
    production(simulated, 1)
    with (
        alias(simulated, "canary", 2),
        start(simulated, path="/readyz", STREAMFLOW_PREDICT__CANARY_SHARE="0.3") as service,
    ):
        service.until(lambda: _trials(service) == {"canary": 2})
        for _ in range(2):
            answered = {user: service.predict(user).json()["model"]["version"] for user in users}
            assert {user for user, version in answered.items() if version == 2} == {
                user for user in users if in_canary(user, 0.3)
            }
        assert service.metric("streamflow_prediction_score_count", version="2", alias="canary") > 0


def test_production_answers_the_users_that_the_canary_cannot(simulated, start, production, users):
    """The canary was trained without a category that production knows; its users are not refused."""
    production(simulated, 1)
    with (
        alias(simulated, "canary", 2),
        start(simulated, path="/readyz", STREAMFLOW_PREDICT__CANARY_SHARE="1.0") as service,
    ):
        service.until(lambda: _trials(service) == {"canary": 2})
        assert service.predict(users[0]).json()["model"]["version"] == 2
        unknown = service.predict("nobody")
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "unknown_entity")
        assert service.metric("streamflow_canary_fell_back_total", version="2") == 1


def test_production_answers_every_user_if_the_canary_needs_a_missing_feature(
    simulated, start, production, users, copy_of
):
    def want_another(contract):
        contract["features"][0]["name"] = "of_next_year"

    production(simulated, 1)
    number = copy_of(2, changed("contract.json", edited(want_another)))
    with (
        alias(simulated, "canary", number),
        start(simulated, path="/readyz", STREAMFLOW_PREDICT__CANARY_SHARE="1.0") as service,
    ):
        service.until(lambda: _trials(service) == {"canary": number})
        assert service.predict(users[0]).json()["model"]["version"] == 1
        assert service.metric("streamflow_canary_fell_back_total", version=str(number)) == 1


def test_a_trial_that_fails_its_checks_is_reported_and_harmless(simulated, predict, users, copy_of):
    number = copy_of(2, changed("contract.json", edited(lambda contract: contract.update(estimator="other"))))
    with alias(simulated, "challenger", number):
        predict.until(lambda: _trials(predict) == {"challenger": number})
    predict.until(lambda: _trials(predict) == {})
    with transaction(simulated.database) as connection:
        connection.execute(
            sa.text("DELETE FROM streamflow.releases WHERE manifest_sha256 = :digest"),
            {"digest": versions.get(simulated.mlflow, number).tags[version_tags.MANIFEST_SHA256]},
        )
    with moves.promotion_lock(simulated.database, simulated.mlflow) as locked:
        release = trail.read(locked.connection, locked.model)[-2].release
        locked.move(Change("challenger", None, number, "trial", "tests", "a test", release=release))
    refused = predict.until(lambda: predict.client.get("/model").json()["refused_trials"])
    assert "not in PostgreSQL" in refused["challenger"]["why"]
    assert _trials(predict) == {}
    assert predict.predict(users[0]).status_code == 200
    trial.stop(simulated.backends, "challenger", why="a test", by="tests")
    predict.until(lambda: not predict.client.get("/model").json()["refused_trials"])


def _logged(settings, request_id: str):
    with transaction(settings.database) as connection:
        return connection.execute(
            sa.text(
                "SELECT p.*, d.drop_id, p.tableoid::regclass::text AS part FROM streamflow.predictions p"
                " LEFT JOIN streamflow.drops d ON d.loaded_at = p.loaded_at WHERE request_id = :id"
            ),
            {"id": request_id},
        ).one_or_none()


@pytest.fixture
def logging_service(simulated, start, production):
    production(simulated, 1)
    with start(simulated, path="/readyz", STREAMFLOW_PREDICT__LOG_SHARE="1.0") as service:
        yield service


def test_an_answer_is_logged_with_its_version_its_drop_and_the_age_of_its_features(
    simulated, logging_service, users
):
    answer = logging_service.predict(users[3]).json()
    row = logging_service.until(lambda: _logged(simulated, answer["request_id"]))
    assert (row.entity, row.version, row.alias) == (users[3], 1, "production")
    assert (row.probability, row.prediction) == (answer["probability"], answer["prediction"])
    assert row.feature_ages == [0.0] * 4
    assert row.drop_id.startswith("2024-02-29.1-")
    assert row.part.startswith("predictions_2")
    assert logging_service.metric("streamflow_prediction_log_rows_total") >= 1


def test_refusals_are_not_logged_and_a_share_of_zero_logs_nothing(simulated, predict, logging_service):
    refused = logging_service.predict("nobody").json()
    answer = logging_service.predict("nobody").json()
    assert refused["request_id"] != answer["request_id"]
    assert _logged(simulated, refused["request_id"]) is None


def test_no_request_fails_when_the_prediction_log_cannot_be_written(simulated, start, production, users):
    production(simulated, 1)
    with transaction(simulated.database) as connection:
        connection.execute(sa.text("ALTER TABLE streamflow.predictions RENAME TO predictions_away"))
    try:
        with start(simulated, path="/readyz", STREAMFLOW_PREDICT__LOG_SHARE="1.0") as service:
            assert [service.predict(user).status_code for user in users[:50]] == [200] * 50
            service.until(lambda: "prediction log not written" in service.log.read_text())
            assert [service.predict(user).status_code for user in users[:50]] == [200] * 50
    finally:
        with transaction(simulated.database) as connection:
            connection.execute(sa.text("ALTER TABLE streamflow.predictions_away RENAME TO predictions"))


def test_partitions_are_made_in_advance_and_dropped_after_the_retention(settings):
    keep = sa.text("SELECT streamflow.keep_prediction_log(30)")
    parts = sa.text(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = 'streamflow.predictions'::regclass ORDER BY 1"
    )
    old = sa.text(
        "CREATE TABLE streamflow.predictions_20200101 PARTITION OF streamflow.predictions"
        " FOR VALUES FROM ('2020-01-01+00') TO ('2020-01-02+00')"
    )
    with transaction(settings.database) as connection:
        connection.execute(old)
    for _ in range(2):
        with transaction(settings.database) as connection:
            connection.execute(keep)
            found = connection.execute(parts).scalars().all()
        assert len(found) == 5
        assert "predictions_20200101" not in found

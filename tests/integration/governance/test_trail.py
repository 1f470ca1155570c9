"""What the audit trail withstands: truncation, external changes, and failures in the middle of a move."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from streamflow.cli.main import app
from streamflow.errors import DependencyDown, PromotionConflict, Refused, ReleaseRefused, StreamFlowError
from streamflow.jobs import catalog, run
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version import tags
from streamflow.model_version.aliases import TRIAL_ALIASES
from streamflow.monitoring.exporter import PlatformCollector
from streamflow.postgres.engine import transaction
from streamflow.registrar.look import look
from streamflow.registry import moves, trail, transitions, trial, versions
from streamflow.registry.acknowledge import acknowledge
from streamflow.registry.promote import demote, promote, rollback
from streamflow.registry.trail import Change

WHO = {"why": "a test", "by": "ada"}


def into_production(settings, version):
    promote(settings.backends, version, "staging", **WHO)
    return promote(settings.backends, version, "production", **WHO)


def on_trial(settings):
    """The versions on trial according to the trail."""
    targets = transitions.recorded(trail.history(settings.database, settings.mlflow.registered_model))
    return {alias: targets[alias] for alias in TRIAL_ALIASES if targets[alias] is not None}


def accepting(settings):
    return settings.promotion.model_copy(update={"outside_moves": "accept"})


def rows(settings):
    return [
        (m.action, m.alias, m.from_version, m.to_version)
        for m in trail.history(settings.database, settings.mlflow.registered_model)
    ]


def stages(settings):
    with registry(settings.mlflow) as client:
        found = client.versions(settings.mlflow.registered_model)
    return {int(item["version"]): item["current_stage"] for item in found}


def point_in_mlflow(settings, alias, version):
    with registry(settings.mlflow) as client:
        if version is None:
            client.delete_alias(settings.mlflow.registered_model, alias)
        else:
            client.set_alias(settings.mlflow.registered_model, alias, version)


def as_an_administrator(settings, statement):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(statement)


def command(*words):
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output, result.exception


@pytest.mark.parametrize("lost", [1, 2])
def test_rows_cut_off_at_the_end_are_reported_until_they_are_acknowledged(settings, make, lost):
    first, second = make(2)
    into_production(settings, first)
    into_production(settings, second)
    as_an_administrator(settings, f"DELETE FROM streamflow.promotions WHERE promotion_id > {4 - lost}")
    for _ in range(2):
        code, _, error = command("models", "history")
        assert code == 1
        assert isinstance(error, StreamFlowError)
        assert "tampered" in error.what
    demote(settings.backends, "production", **WHO)
    assert command("models", "history")[0] == 1

    assert command("models", "history", "--acknowledge", "restored from Monday's backup")[0] == 0
    assert "chain of these rows holds" in command("models", "history")[1]
    acknowledged = [
        move
        for move in trail.history(settings.database, settings.mlflow.registered_model)
        if move.action == "acknowledge"
    ]
    assert [move.why for move in acknowledged] == ["restored from Monday's backup"]
    assert acknowledged[0].facts["problems"]
    with pytest.raises(Refused, match="nothing to acknowledge"):
        acknowledge(settings.database, settings.mlflow, **WHO)


def test_a_missing_anchor_is_reported(settings, make):
    (first,) = make(1)
    into_production(settings, first)
    with sdk.client(settings.mlflow) as client:
        client.delete_registered_model_tag(settings.mlflow.registered_model, tags.AUDIT)
    code, output, _ = command("models", "history")
    assert code == 0
    assert "MLflow names no newest row" in output


def test_promoting_a_canary_ends_its_trial_and_rolling_it_back_leaves_it_no_users(settings, make):
    first, second = make(2)
    into_production(settings, first)
    trial.start(settings.backends, second, "canary", **WHO)
    into_production(settings, second)
    assert versions.by_alias(settings.mlflow, "canary") is None
    # A version in production is not put on trial.
    point_in_mlflow(settings, "challenger", second)
    (refused,) = look(settings.backends, settings.promotion)
    assert "is in production itself" in refused.facts["refused"][0]
    assert rollback(settings.backends, **WHO).to_version == first
    assert on_trial(settings) == {}
    assert [versions.by_alias(settings.mlflow, alias) for alias in ("canary", "challenger")] == [None, None]
    ends = [row for row in rows(settings) if row[0] == "end trial"]
    assert ends == [("end trial", "canary", second, None)]


def test_a_rollback_leaves_trials_of_other_versions_alone(settings, make):
    first, second, third = make(3)
    for version in (first, second):
        into_production(settings, version)
    trial.start(settings.backends, third, "challenger", **WHO)
    rollback(settings.backends, **WHO)
    assert on_trial(settings) == {"challenger": third}
    trial.start(settings.backends, second, "canary", **WHO)
    assert look(settings.backends, settings.promotion) == []
    assert on_trial(settings) == {"canary": second, "challenger": third}


def test_a_move_to_production_in_mlflow_ends_the_trial_of_the_version(settings, make):
    first, second = make(2)
    into_production(settings, first)
    trial.start(settings.backends, second, "canary", **WHO)
    point_in_mlflow(settings, "production", second)
    look(settings.backends, accepting(settings))
    assert versions.by_alias(settings.mlflow, "canary") is None
    assert rows(settings)[-2:] == [
        ("end trial", "canary", second, None),
        ("promote", "production", first, second),
    ]


def test_of_two_concurrent_rollbacks_the_second_is_a_conflict(settings, make):
    first, second, third = make(3)
    for version in (first, second, third):
        into_production(settings, version)
    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(rollback, settings.backends, expected=third, **WHO) for _ in range(2)]
        errors = [item.exception() for item in tries]
    assert sorted(type(error) for error in errors if error) == [PromotionConflict]
    assert versions.by_alias(settings.mlflow, "production") == second


def test_the_command_rolls_back_only_the_version_that_was_in_production_when_it_was_called(settings, make):
    first, second, third = make(3)
    for version in (first, second, third):
        into_production(settings, version)
    found = []
    with moves.promotion_lock(settings.database, settings.mlflow) as locked:
        caller = threading.Thread(target=lambda: found.append(command("rollback", "--why", "complaints")))
        caller.start()
        wait_until_somebody_waits_for_the_lock(settings)
        locked.move(Change("production", third, second, "rollback", **WHO))
    caller.join()
    (code, _, error) = found[0]
    assert (code, type(error)) == (1, PromotionConflict)
    assert versions.by_alias(settings.mlflow, "production") == second


def wait_until_somebody_waits_for_the_lock(settings):
    waiting = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with transaction(settings.database) as connection:
            if connection.execute(waiting).scalar_one():
                return
        time.sleep(0.02)
    pytest.fail("nobody waits for the promotion lock")


@pytest.mark.parametrize("failing", [1, 2])
def test_a_refused_move_is_put_back_and_recorded_once_although_mlflow_failed_in_between(
    settings, make, monkeypatch, failing
):
    first, second = make(2)
    into_production(settings, first)
    point_in_mlflow(settings, "production", second)
    strict = settings.promotion.model_copy(update={"outside_moves": "revert"})

    def fails(*arguments):
        raise DependencyDown("MLflow does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(RegistryClient, "set_alias", fails)
        look(settings.backends, strict)
        for _ in range(failing - 1):
            with pytest.raises(DependencyDown):
                look(settings.backends, strict)
    assert look(settings.backends, strict) == []
    assert versions.by_alias(settings.mlflow, "production") == first
    assert stages(settings) == {first: "Production", second: "None"}
    assert rows(settings)[2:] == [("outside", "production", first, first)]
    # The same request made again is a new one.
    point_in_mlflow(settings, "production", second)
    assert len(look(settings.backends, strict)) == 1


@pytest.mark.parametrize("alias", ["canary", "challenger"])
def test_a_trial_started_and_ended_in_mlflow_is_recorded(settings, make, alias):
    first, second = make(2)
    into_production(settings, first)
    point_in_mlflow(settings, alias, second)
    (seen,) = look(settings.backends, settings.promotion)
    assert (seen.action, seen.alias, seen.from_version, seen.to_version) == ("trial", alias, None, second)
    assert seen.facts == {"detected": "alias"}
    assert on_trial(settings) == {alias: second}
    point_in_mlflow(settings, alias, None)
    (seen,) = look(settings.backends, settings.promotion)
    assert (seen.action, seen.alias, seen.from_version, seen.to_version) == ("end trial", alias, second, None)

    point_in_mlflow(settings, alias, second)
    (seen,) = look(settings.backends, settings.promotion.model_copy(update={"outside_moves": "revert"}))
    assert (seen.action, seen.alias, seen.from_version, seen.to_version) == ("outside", alias, None, None)
    assert versions.by_alias(settings.mlflow, alias) is None


def test_a_rollback_serves_what_was_in_production_whatever_mlflow_has_under_its_number(settings, make):
    first, second = make(2)
    into_production(settings, first)
    digest = into_production(settings, second).release["manifest_sha256"]
    model = settings.mlflow.registered_model
    with sdk.client(settings.mlflow) as client:
        client.set_model_version_tag(model, str(first), tags.MANIFEST_SHA256, "0" * 64)
    assert rollback(settings.backends, **WHO).release["manifest_sha256"] == digest
    into_production(settings, second)
    with transaction(settings.database) as connection:
        connection.execute(sa.text("DELETE FROM streamflow.releases"))
    # Its files are only in MLflow now, where it is another model.
    with pytest.raises(ReleaseRefused, match=r"not the one"):
        rollback(settings.backends, **WHO)
    assert versions.by_alias(settings.mlflow, "production") == second


def test_an_alias_taken_away_in_mlflow_is_a_demotion(settings, make):
    first, second = make(2)
    into_production(settings, first)
    into_production(settings, second)
    point_in_mlflow(settings, "production", None)
    (seen,) = look(settings.backends, settings.promotion)
    assert (seen.action, seen.from_version, seen.to_version) == ("demote", second, None)
    assert stages(settings) == {first: "Archived", second: "Archived"}
    assert rollback(settings.backends, **WHO).to_version == second
    point_in_mlflow(settings, "production", None)
    strict = settings.promotion.model_copy(update={"outside_moves": "revert"})
    (refused,) = look(settings.backends, strict)
    assert (refused.action, refused.to_version) == ("outside", second)
    assert versions.by_alias(settings.mlflow, "production") == second


def test_looking_up_a_time_works_while_mlflow_is_down(settings, make, monkeypatch):
    (first,) = make(1)
    into_production(settings, first)
    monkeypatch.setenv("STREAMFLOW_MLFLOW__TRACKING_URI", "http://127.0.0.1:9")
    code, output, _ = command("models", "at", "2100-01-01")
    assert code == 0
    assert f"Version {first} was in production" in output


def online_tables(settings, *statements):
    with transaction(settings.database) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_rollback_and_trial_refuse_a_version_that_the_online_store_cannot_serve(settings, make):
    first, second, third = make(3)
    for version in (first, second):
        into_production(settings, version)
    online_tables(
        settings,
        "CREATE TABLE online.subs_profile_fv (user_id text, monthly_fee double precision)",
        "CREATE TABLE online.usage_agg_30d_fv (user_id text)",
    )
    for attempt in (
        lambda: rollback(settings.backends, **WHO),
        lambda: trial.start(settings.backends, third, "canary", **WHO),
    ):
        with pytest.raises(
            ReleaseRefused, match=r"'usage_agg_30d_fv' has no column 'skips_7d'.*features apply"
        ):
            attempt()
    assert versions.by_alias(settings.mlflow, "production") == second
    online_tables(settings, "ALTER TABLE online.usage_agg_30d_fv ADD COLUMN skips_7d bigint")
    trial.start(settings.backends, third, "canary", **WHO)
    assert rollback(settings.backends, **WHO).to_version == first


def test_the_stage_production_is_never_empty(settings, make, monkeypatch):
    first, second = make(2)
    into_production(settings, first)
    seen = []
    set_stage = RegistryClient.set_stage

    def watched(self, model, version, stage):
        set_stage(self, model, version, stage)
        seen.append({item["current_stage"] for item in self.versions(model)})

    monkeypatch.setattr(RegistryClient, "set_stage", watched)
    into_production(settings, second)
    rollback(settings.backends, **WHO)
    assert len(seen) == 5
    assert all("Production" in found for found in seen)


def test_the_job_audit_notices_a_truncated_trail(settings, make):
    first, second = make(2)
    into_production(settings, first)
    into_production(settings, second)
    assert (catalog.recipe("audit")(settings).chain_ok, len(rows(settings))) == (True, 4)
    point_in_mlflow(settings, "production", first)
    look(settings.backends, accepting(settings))
    assert run.run(settings, "audit", catalog.recipe("audit")) == 0
    metrics = generate_latest(exported(settings)).decode()
    assert "streamflow_audit_chain_ok 1.0" in metrics
    assert 'streamflow_outside_moves_total{alias="production"} 1.0' in metrics
    as_an_administrator(settings, "DELETE FROM streamflow.promotions WHERE promotion_id = 6")
    assert run.run(settings, "audit", catalog.recipe("audit")) == 0
    assert "streamflow_audit_chain_ok 0.0" in generate_latest(exported(settings)).decode()


def exported(settings):
    found = CollectorRegistry()
    found.register(PlatformCollector(settings.database, settings.mlflow.registered_model))
    return found

"""Promotion, rollback and their audit trail, on a real PostgreSQL and a real MLflow."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from streamflow.challenger import train
from streamflow.errors import (
    Busy,
    DependencyDown,
    NotFound,
    PromotionConflict,
    Refused,
    ReleaseRefused,
    StreamFlowError,
    UsageError,
)
from streamflow.gate.decision import promote_through_gate
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version import asked, tags
from streamflow.postgres import locks
from streamflow.postgres.engine import engine, transaction
from streamflow.registrar.look import look
from streamflow.registry import artifacts, automation, chain, moves, trail, versions
from streamflow.registry.promote import promote, rollback
from streamflow.registry.served import served_release

WHO = {"why": "a test", "by": "ada"}


def into_production(settings, version):
    promote(settings.backends, version, "staging", **WHO)
    return promote(settings.backends, version, "production", **WHO)


def stages(settings):
    with sdk.client(settings.mlflow) as client:
        found = client.search_model_versions(f"name = '{settings.mlflow.registered_model}'")
        return {int(item.version): item.current_stage for item in found}


def with_promotion(settings, **changes):
    return settings.model_copy(update={"promotion": settings.promotion.model_copy(update=changes)})


def rows(settings):
    return [
        (m.action, m.alias, m.from_version, m.to_version)
        for m in trail.history(settings.database, settings.mlflow.registered_model)
    ]


def test_a_version_goes_to_staging_then_to_production_and_no_other_way(settings, make):
    first, second = make(2)
    with pytest.raises(Refused, match="not at staging"):
        promote(settings.backends, first, "production", **WHO)
    promote(settings.backends, first, "staging", **WHO)
    assert stages(settings) == {first: "Staging", second: "None"}
    with pytest.raises(Refused, match="already"):
        promote(settings.backends, first, "staging", **WHO)
    move = promote(settings.backends, first, "production", **WHO)
    assert stages(settings) == {first: "Production", second: "None"}
    assert versions.by_alias(settings.mlflow, "staging") is None
    with pytest.raises(Refused, match="in production already"):
        promote(settings.backends, first, "staging", **WHO)
    into_production(settings, second)
    assert stages(settings) == {first: "Archived", second: "Production"}
    assert (move.moved_by, move.login, move.from_version, move.to_version) == (
        "ada",
        settings.database.user,
        None,
        first,
    )


def test_a_promotion_records_the_whole_release(settings, make):
    (version,) = make(1)
    release = into_production(settings, version).release
    held = versions.get(settings.mlflow, version)
    assert release["version"] == version
    assert release["manifest_sha256"] == held.tags[tags.MANIFEST_SHA256]
    assert release["fingerprint"] == "f" * 40
    assert release["feature_service"] == "churn_v1"
    with sdk.client(settings.mlflow) as client:
        assert str(release["threshold"]) == client.get_run(held.run_id).data.params["threshold"]
    assert len(release["feature_service_version"]) == 16


def test_a_promotion_needs_a_reason(settings, make):
    (version,) = make(1)
    with pytest.raises(Refused, match="reason"):
        promote(settings.backends, version, "staging", why="  ", by="ada")
    assert rows(settings) == []


@pytest.mark.fault("F24")
def test_of_two_concurrent_promotions_one_wins_and_the_other_is_a_conflict_fifty_times(settings, make):
    ones = make(2)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(50):
            before = versions.by_alias(settings.mlflow, "staging")
            other = [version for version in ones if version != before][-2:]
            # Both want another version at staging, and both saw the same one there.
            pair = other if len(other) == 2 else [other[0], other[0]]
            tries = [
                pool.submit(
                    promote,
                    settings.backends,
                    version,
                    "staging",
                    expected=before,
                    **WHO,
                )
                for version in pair
            ]
            errors = [item.exception() for item in tries]
            lost = [error for error in errors if error is not None]
            assert len(lost) == 1
            assert isinstance(lost[0], PromotionConflict), lost
            winner = tries[errors.index(None)].result()
            assert versions.by_alias(settings.mlflow, "staging") == winner.to_version
    found = trail.history(settings.database, settings.mlflow.registered_model)
    assert len(found) == 50
    assert all(later.from_version == earlier.to_version for earlier, later in itertools.pairwise(found))
    assert [move.promotion_id for move in found] == list(range(1, 51))
    chain.verify(settings.database)


@pytest.mark.parametrize("alias", ["staging", "production"])
def test_a_version_that_does_not_exist_is_not_found(settings, mlflow_server, alias):
    with pytest.raises(NotFound, match="There is no version 99"):
        promote_through_gate(settings.backends, settings.promotion, 99, alias, **WHO)


def test_rollback_goes_back_one_promotion_at_a_time(settings, make):
    first, second, third = make(3)
    for version in (first, second, third):
        into_production(settings, version)
    assert rollback(settings.backends, **WHO).to_version == second
    assert rollback(settings.backends, **WHO).to_version == first
    assert stages(settings) == {first: "Production", second: "Archived", third: "Archived"}
    with pytest.raises(NotFound, match="no earlier version"):
        rollback(settings.backends, **WHO)
    assert rollback(settings.backends, to=third, **WHO).release["version"] == third
    with pytest.raises(Refused, match="in production already"):
        rollback(settings.backends, to=third, **WHO)


def test_a_rollback_needs_nothing_that_training_needs(settings, make, tmp_path):
    first, second = make(2)
    for version in (first, second):
        into_production(settings, version)
    nowhere = settings.feast.model_copy(update={"repo": tmp_path, "server_url": "http://127.0.0.1:9"})
    broken = settings.model_copy(update={"feast": nowhere})
    with pytest.raises(UsageError, match="not a feature repo"):
        train(broken)
    # A training that hangs holds its lock forever.
    with locks.exclusive(settings.database, locks.of_job("train")):
        assert rollback(broken.backends, **WHO).to_version == first


def test_only_what_was_in_production_is_rolled_back_to(settings, make):
    first, second = make(2)
    into_production(settings, first)
    with pytest.raises(Refused, match="never in production"):
        rollback(settings.backends, to=second, **WHO)


def flip_a_byte(settings, version, name):
    """Change one byte in the artifact store, as bit rot or an intruder would."""
    with sdk.client(settings.mlflow) as client:
        path = Path(client.download_artifacts(versions.get(settings.mlflow, version).run_id, f"model/{name}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with sdk.client(settings.mlflow) as client:
        client.log_artifact(versions.get(settings.mlflow, version).run_id, str(path), "model")


@pytest.mark.parametrize("name", ["model.onnx", "model.skops", "golden.json"])
def test_a_flipped_byte_in_mlflow_is_refused_by_a_promotion_and_does_not_reach_a_rollback(
    settings, make, name
):
    (first,) = make(1)
    (second,) = make(1)
    into_production(settings, first)
    into_production(settings, second)
    flip_a_byte(settings, first, name)
    with pytest.raises(ReleaseRefused, match=f"{name} is not the one that was registered"):
        promote(settings.backends, first, "staging", **WHO)
    assert rollback(settings.backends, **WHO).to_version == first
    # The files in PostgreSQL are those that were promoted.
    served_release(settings.database, settings.mlflow.registered_model)
    assert len(trail.history(settings.database, settings.mlflow.registered_model)) == 5


def killed_before(settings, version, function):
    """Promote in a process that is killed right before it calls `function`."""
    script = textwrap.dedent(f"""
        import os, signal
        from streamflow import settings as s
        from streamflow.registry import moves, promote, trail
        owner = trail if "{function}" == "append" else moves.LockedRegistry
        setattr(owner, "{function}", lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
        settings = s.load()
        promote.promote(settings.backends, {version}, "production", why="cut short", by="eve")
    """)
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("function", ["follow", "_write", "anchor"])
def test_a_move_that_was_recorded_reaches_mlflow_although_its_process_was_killed(settings, make, function):
    first, second = make(2)
    into_production(settings, first)
    promote(settings.backends, second, "staging", **WHO)
    killed_before(settings, second, function)
    assert rows(settings)[-1] == ("promote", "production", first, second)

    assert look(settings.backends, settings.promotion) == []
    assert versions.by_alias(settings.mlflow, "production") == second
    assert versions.by_alias(settings.mlflow, "staging") is None
    assert stages(settings) == {first: "Archived", second: "Production"}
    assert look(settings.backends, settings.promotion) == []
    assert rollback(settings.backends, **WHO).to_version == first
    chain.verify(settings.database)


def test_a_move_whose_process_was_killed_before_its_row_did_not_happen(settings, make):
    (first,) = make(1)
    promote(settings.backends, first, "staging", **WHO)
    killed_before(settings, first, "append")
    assert look(settings.backends, settings.promotion) == []
    assert stages(settings) == {first: "Staging"}
    assert promote(settings.backends, first, "production", **WHO).to_version == first
    with pytest.raises(NotFound, match="no earlier version"):
        rollback(settings.backends, **WHO)


def without_mlflow(settings):
    nowhere = settings.mlflow.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    return settings.model_copy(update={"mlflow": nowhere})


def test_a_promotion_while_mlflow_is_down_changes_nothing(settings, make):
    (first,) = make(1)
    with pytest.raises(DependencyDown, match="does not answer"):
        promote(without_mlflow(settings).backends, first, "staging", **WHO)
    assert rows(settings) == []


def test_a_rollback_needs_no_mlflow_which_follows_later(settings, make):
    first, second = make(2)
    into_production(settings, first)
    into_production(settings, second)
    move = rollback(without_mlflow(settings).backends, **WHO)
    assert (move.to_version, move.release["version"]) == (first, first)
    assert trail.targets(settings.database, settings.mlflow.registered_model)["production"] == first
    assert versions.by_alias(settings.mlflow, "production") == second

    assert look(settings.backends, settings.promotion) == []
    assert versions.by_alias(settings.mlflow, "production") == first
    assert stages(settings) == {first: "Production", second: "Archived"}


def test_a_rollback_pauses_automatic_promotion_until_it_is_resumed(settings, make):
    first, second = make(2)
    into_production(settings, first)
    into_production(settings, second)
    model = settings.mlflow.registered_model
    assert automation.paused(settings.database, model) == ""
    with pytest.raises(Refused, match="is not paused"):
        automation.resume(settings.database, settings.mlflow, **WHO)
    rollback(settings.backends, **WHO)
    assert "paused since the rollback of" in automation.paused(settings.database, model)
    automation.resume(settings.database, settings.mlflow, **WHO)
    assert automation.paused(settings.database, model) == ""
    assert rows(settings)[-1] == ("resume", "production", first, first)
    assert look(settings.backends, settings.promotion) == []


def test_mlflow_describes_where_a_version_went_and_why(settings, make):
    first, second = make(2)
    into_production(settings, first)
    promote(settings.backends, second, "staging", **WHO)
    gate = {"verdict": "passed", "report": "gate/version-2.json"}
    promote(settings.backends, second, "production", gate=gate, why="![x](http://y) <b>*good*", by="ada")
    run = versions.get(settings.mlflow, second).run_id
    with registry(settings.mlflow) as client:
        found = {
            int(item["version"]): item["description"]
            for item in client.versions(settings.mlflow.registered_model)
        }
        page = f"#/experiments/{client.experiment_of(run)}/runs/{run}"
    assert found[first].startswith("Left production at ")
    assert found[second].startswith("At production since ")
    assert r"by ada: !\[x\](http://y) \<b\>\*good\*. The gate: passed." in found[second]
    end = "?workflowType=machine_learning"
    report = f"{page}/artifacts/gate/version-2.html{end}"
    assert f"[Report of the gate]({report}) · [Run]({page}{end})" in found[second]
    assert asked.reason_of({}, found[second]) == ""
    assert "[Report" not in found[first]


CALLS = (
    "set_alias",
    "delete_alias",
    "set_stage",
    "set_description",
    "set_model_tag",
    "model",
    "versions",
    "file",
)


@pytest.mark.load
def test_the_registrar_killed_at_any_call_leaves_nothing_that_the_next_look_does_not_mend(
    settings, make, monkeypatch
):
    now, then = make(2)
    into_production(settings, now)
    accepting = with_promotion(settings, outside_moves="accept").promotion
    for step in range(1, 25):
        change_production_in_mlflow(settings, then)
        with monkeypatch.context() as patch:
            killed_at_call(patch, step)
            with contextlib.suppress(Killed):
                look(settings.backends, accepting)
        look(settings.backends, accepting)
        assert look(settings.backends, accepting) == []
        targets = trail.targets(settings.database, settings.mlflow.registered_model)
        assert (targets["production"], targets["staging"]) == (then, None), step
        assert versions.by_alias(settings.mlflow, "production") == then
        assert versions.by_alias(settings.mlflow, "staging") is None
        assert stages(settings) == {now: "Archived", then: "Production"}
        now, then = then, now
    moved = [row[2:] for row in rows(settings) if row[1] == "production"]
    assert moved[0] == (None, now)
    assert all(later[0] == earlier[1] for earlier, later in itertools.pairwise(moved))
    assert len(moved) == 25
    chain.verify(settings.database)


def test_a_promotion_that_mlflow_took_in_part_does_not_come_back_after_a_rollback(
    settings, make, monkeypatch
):
    first, second = make(2)
    into_production(settings, first)
    promote(settings.backends, second, "staging", **WHO)

    def fails(*arguments):
        raise DependencyDown("MLflow does not answer.")

    with monkeypatch.context() as patch:
        # The alias is set, the stage is not.
        patch.setattr(RegistryClient, "set_stage", fails)
        promote(settings.backends, second, "production", **WHO)
    assert versions.by_alias(settings.mlflow, "production") == second
    assert rollback(without_mlflow(settings).backends, **WHO).to_version == first
    accepting = with_promotion(settings, outside_moves="accept")
    assert look(accepting.backends, accepting.promotion) == []
    assert versions.by_alias(settings.mlflow, "production") == first
    assert stages(settings)[first] == "Production"


def test_another_model_under_the_number_in_production_demotes_nothing(settings, make):
    (first,) = make(1)
    into_production(settings, first)
    held = versions.get(settings.mlflow, first)
    with sdk.client(settings.mlflow) as client:
        client.delete_registered_model(settings.mlflow.registered_model)
    other = versions.register(
        settings.mlflow, run_id=held.run_id, source=held.source, tags={tags.MANIFEST_SHA256: "1" * 64}
    )
    assert other == first
    assert look(settings.backends, settings.promotion) == []
    assert trail.targets(settings.database, settings.mlflow.registered_model)["production"] == first


def test_a_move_away_from_a_version_that_was_deleted_is_refused_once(settings, make):
    first, second = make(2)
    into_production(settings, first)
    with sdk.client(settings.mlflow) as client:
        client.delete_registered_model_alias(settings.mlflow.registered_model, "production")
        client.delete_model_version(settings.mlflow.registered_model, str(first))
    change_production_in_mlflow(settings, second)
    strict = with_promotion(settings, outside_moves="revert")
    assert len(look(strict.backends, strict.promotion)) == 1
    for _ in range(2):
        assert look(strict.backends, strict.promotion) == []
    assert versions.by_alias(settings.mlflow, "production") is None
    assert trail.targets(settings.database, settings.mlflow.registered_model)["production"] == first


def test_what_mlflow_cannot_describe_or_was_made_to_say_stops_no_move(settings, make):
    first, second = make(2)
    into_production(settings, first)
    promote(settings.backends, second, "staging", why="x" * 10_000, by="ada")
    assert look(settings.backends, settings.promotion) == []
    with registry(settings.mlflow) as client:
        client.set_model_tag(settings.mlflow.registered_model, tags.AUDIT, "²:x")
    promote(settings.backends, second, "production", **WHO)
    assert rollback(settings.backends, **WHO).to_version == first
    assert chain.verify(settings.database, moves.anchor(settings.mlflow))


@pytest.mark.parametrize("error", [Busy("The lock is held."), StreamFlowError("MLflow answered 500.")])
def test_a_request_that_could_not_be_judged_stays_open(settings, make, monkeypatch, error):
    first, second = make(2)
    into_production(settings, first)
    change_production_in_mlflow(settings, second)
    accepting = with_promotion(settings, outside_moves="accept")
    before = rows(settings)

    def fails(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "check_known", fails)
        with pytest.raises(type(error)):
            look(accepting.backends, accepting.promotion)
    assert rows(settings) == before
    (answered,) = look(accepting.backends, accepting.promotion)
    assert (answered.action, answered.to_version) == ("promote", second)


class Killed(BaseException):
    """Ends a process in the middle; nothing catches it."""


def killed_at_call(patch, step):
    """Let the given call of MLflow's client, or of the ledger, be the last thing that is done."""
    left = [step]

    def dying(original):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return original(*arguments, **named)

        return call

    for name in CALLS:
        patch.setattr(RegistryClient, name, dying(getattr(RegistryClient, name)))
    patch.setattr(trail, "append", dying(trail.append))


def test_a_version_that_was_not_trained_here_is_not_promoted(settings, make):
    (first,) = make(1)
    into_production(settings, first)
    held = versions.get(settings.mlflow, first)
    forged = versions.register(
        settings.mlflow,
        run_id=held.run_id,
        source=held.source,
        tags={**held.tags, tags.MANIFEST_SHA256: "0" * 64},
    )
    with pytest.raises(ReleaseRefused, match="no training of StreamFlow made it"):
        promote(settings.backends, forged, "staging", **WHO)
    for mode in ("accept", "gate"):
        change_production_in_mlflow(settings, forged)
        (answered,) = look(settings.backends, with_promotion(settings, outside_moves=mode).promotion)
        assert (answered.action, answered.from_version, answered.to_version) == ("outside", first, first)
        assert answered.facts["requested"] == forged
        assert "no training of StreamFlow made it" in answered.facts["refused"][0]
        assert versions.by_alias(settings.mlflow, "production") == first
    assert stages(settings) == {first: "Production", forged: "None"}


def change_production_in_mlflow(settings, version):
    with sdk.client(settings.mlflow) as client:
        client.set_registered_model_alias(settings.mlflow.registered_model, "production", str(version))


def move_stage(settings, version, stage, **how):
    with sdk.client(settings.mlflow) as client:
        client.transition_model_version_stage(settings.mlflow.registered_model, str(version), stage, **how)


def test_a_move_in_mlflow_is_a_request_for_both_steps(settings, make):
    first, second = make(2)
    into_production(settings, first)
    change_production_in_mlflow(settings, second)
    accepting = with_promotion(settings, outside_moves="accept")
    (answered,) = look(accepting.backends, accepting.promotion)
    assert rows(settings)[-2:] == [
        ("promote", "staging", None, second),
        ("promote", "production", first, second),
    ]
    assert versions.by_alias(settings.mlflow, "staging") is None
    assert (answered.moved_by, answered.facts["detected"]) == ("unknown", "alias")
    assert answered.release["version"] == second
    assert stages(settings) == {first: "Archived", second: "Production"}
    assert look(accepting.backends, accepting.promotion) == []
    assert rollback(settings.backends, **WHO).to_version == first


def test_a_move_in_mlflow_is_refused_and_put_back_when_the_settings_say_so(settings, make):
    first, second = make(2)
    into_production(settings, first)
    change_production_in_mlflow(settings, second)
    strict = with_promotion(settings, outside_moves="revert")
    (answered,) = look(strict.backends, strict.promotion)
    assert (answered.action, answered.from_version, answered.to_version) == ("outside", first, first)
    assert answered.facts["requested"] == second
    assert versions.by_alias(settings.mlflow, "production") == first
    assert look(strict.backends, strict.promotion) == []
    with pytest.raises(NotFound, match="no earlier version"):
        rollback(strict.backends, **WHO)


def test_a_request_that_a_command_has_fulfilled_meanwhile_is_not_refused(settings, make, monkeypatch):
    first, second = make(2)
    into_production(settings, first)
    change_production_in_mlflow(settings, second)
    check = artifacts.check_known

    def meanwhile(*arguments):
        check(*arguments)
        into_production(settings, second)

    monkeypatch.setattr(artifacts, "check_known", meanwhile)
    before = len(rows(settings))
    accepting = with_promotion(settings, outside_moves="accept")
    with contextlib.suppress(PromotionConflict):
        assert look(accepting.backends, accepting.promotion) == []
    assert len(rows(settings)) == before + 2
    assert look(accepting.backends, accepting.promotion) == []
    assert stages(settings) == {first: "Archived", second: "Production"}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("archive", [False, True])
def test_a_stage_moved_in_mlflow_is_a_request_too(settings, make, archive):
    first, second = make(2)
    into_production(settings, first)
    move_stage(settings, second, "Production", archive_existing_versions=archive)
    accepting = with_promotion(settings, outside_moves="accept")
    (answered,) = look(accepting.backends, accepting.promotion)
    assert (answered.action, answered.to_version, answered.facts["detected"]) == ("promote", second, "stage")
    assert stages(settings) == {first: "Archived", second: "Production"}
    assert versions.by_alias(settings.mlflow, "production") == second


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("stage", ["Archived", "None", "Staging"])
def test_a_version_whose_stage_leaves_production_is_demoted(settings, make, stage):
    (first,) = make(1)
    into_production(settings, first)
    move_stage(settings, first, stage)
    look(settings.backends, settings.promotion)
    assert ("demote", "production", first, None) in rows(settings)
    targets = trail.targets(settings.database, settings.mlflow.registered_model)
    assert targets["production"] is None
    assert targets["staging"] == (first if stage == "Staging" else None)
    assert stages(settings) == {first: stage}
    assert rollback(settings.backends, **WHO).to_version == first
    assert stages(settings) == {first: "Production"}


def test_an_emptied_registry_ends_nothing(settings, make):
    (first,) = make(1)
    into_production(settings, first)
    with sdk.client(settings.mlflow) as client:
        client.delete_registered_model(settings.mlflow.registered_model)
    assert look(settings.backends, settings.promotion) == []
    assert trail.targets(settings.database, settings.mlflow.registered_model)["production"] == first


def test_what_was_in_production_at_a_time(settings, make):
    first, second = make(2)
    moments = [datetime.now(UTC)]
    for version in (first, second):
        into_production(settings, version)
        moments.append(datetime.now(UTC))
    rollback(settings.backends, **WHO)
    with pytest.raises(NotFound, match="Nothing was in production"):
        trail.at(settings.database, settings.mlflow.registered_model, moments[0])
    assert trail.at(settings.database, settings.mlflow.registered_model, moments[1]).to_version == first
    assert (
        trail.at(settings.database, settings.mlflow.registered_model, moments[2]).release["version"] == second
    )
    assert (
        trail.at(
            settings.database, settings.mlflow.registered_model, datetime.now(UTC) + timedelta(days=1)
        ).to_version
        == first
    )


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE streamflow.promotions SET why = 'a better one' WHERE promotion_id = 2", "Row 2 was changed"),
        ("DELETE FROM streamflow.promotions WHERE promotion_id = 2", "Row 2 is missing"),
        ("DELETE FROM streamflow.promotions WHERE promotion_id = 4", "Rows 4 to 4 are missing at the end"),
    ],
)
def test_tampering_with_the_audit_trail_is_detected(settings, make, statement, problem):
    first, second = make(2)
    into_production(settings, first)
    into_production(settings, second)
    anchor = moves.anchor(settings.mlflow)
    assert chain.verify(settings.database, anchor)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), transaction(settings.database) as connection:
        connection.exec_driver_sql(statement)
    with transaction(settings.database) as connection:
        # As an administrator of the database could do.
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.exec_driver_sql(statement)
        connection.exec_driver_sql("SET session_replication_role = DEFAULT")
    with pytest.raises(StreamFlowError, match=problem):
        chain.verify(settings.database, anchor)
    engine(settings.database).dispose()

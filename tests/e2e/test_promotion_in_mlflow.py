"""A stage moved in MLflow, on a stack with its registrar: judged by the gate, recorded, and served as the ledger says."""

from __future__ import annotations

import pytest
from program import http, until

MODEL = "streamflow_churn"


def move_stage(world, version, stage):
    body = {"name": MODEL, "version": str(version), "stage": stage}
    if stage == "Production":
        # As MLflow's page does.
        body["archive_existing_versions"] = True
    status, answer = http(world.stack.url("mlflow") + "/api/2.0/mlflow/model-versions/transition-stage", body)
    assert status == 200, answer


def ledger(world):
    return world.program.json("models", "history")["moves"]


def in_mlflow(world, version):
    status, answer = http(
        f"{world.stack.url('mlflow')}/api/2.0/mlflow/model-versions/get?name={MODEL}&version={version}"
    )
    assert status == 200, answer
    return answer["model_version"]


def serves(world):
    return world.program.services()["predict"]["model_version"]


@pytest.fixture
def challenger(world):
    """A version that was registered and promoted nowhere."""
    return world.program.json("train", "--as-of", world.drops[0].as_of, "--estimator", "logistic_regression")[
        "version"
    ]


def test_a_stage_moved_in_mlflow_is_judged_by_the_gate(world, challenger):
    champion, before = serves(world), len(ledger(world))
    move_stage(world, challenger, "Production")
    until("the registrar has answered", lambda: len(ledger(world)) > before)
    until("the answer is complete", lambda: in_mlflow(world, challenger).get("description"))
    row = ledger(world)[-1]
    assert (row["moved_by"], row["facts"]["detected"]) == ("unknown", "stage")
    if row["action"] == "outside":
        assert row["facts"]["requested"] == challenger
        assert f"The gate refuses version {challenger}." in row["facts"]["refused"][0]
        assert in_mlflow(world, challenger)["description"].startswith("Refused for production")
        assert (in_mlflow(world, champion)["current_stage"], serves(world)) == ("Production", champion)
    else:
        assert (row["to_version"], row["gate"]["verdict"]) == (challenger, "passed")
        until("predict serves it", lambda: serves(world) == challenger)
        world.program.ok("rollback", "--why", "the end of a test")
    until("the champion is served", lambda: serves(world) == champion)


def test_an_archived_version_is_served_no_more_until_it_is_rolled_back_to(world):
    champion = serves(world)
    move_stage(world, champion, "Archived")
    until("nothing is served", lambda: serves(world) is None)
    status, problem = http(f"{world.predict}/predict", {"user_id": "anybody"})
    assert (status, problem["code"]) == (503, "model_unavailable")
    assert ledger(world)[-1]["action"] == "demote"
    assert "Automatic promotion is paused since the demotion" in world.program.ok("status")
    world.program.ok("rollback", "--why", "archived by mistake")
    until("the champion is served", lambda: serves(world) == champion)
    until("MLflow shows it", lambda: in_mlflow(world, champion)["current_stage"] == "Production")
    resumed = world.program.json("promotion", "resume", "--why", "the end of a test")
    assert (resumed["action"], resumed["to_version"]) == ("resume", champion)

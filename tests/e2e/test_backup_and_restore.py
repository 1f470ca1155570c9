"""Restore a backup into a new stack, which then gives the same answers."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from program import Program, http, until


@pytest.fixture
def other(tmp_path):
    """A new, empty stack in another home."""
    program = Program(tmp_path / "home")
    try:
        yield program, program.json("up")
    finally:
        program.run("down")


def answer(url, user):
    status, found = http(f"{url}/predict", {"user_id": user})
    assert status == 200, found
    return found["probability"], found["prediction"]


def leave_as_a_killed_restore(program):
    """The databases as a restore of an earlier release left them, killed before it renamed any."""
    address = program.services()["postgres"]["url"].replace("://", "://streamflow@").rpartition("/")[0]
    password = (program.home / "postgres-password").read_text().strip()
    with psycopg.connect(f"{address}/postgres", password=password, autocommit=True) as connection:
        names = ("streamflow", "mlflow")
        for name in names:
            connection.execute(f"CREATE DATABASE {name}_restoring TEMPLATE template0")
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")


def test_a_backup_comes_back_on_another_machine(world, other, tmp_path):
    program, started = other
    user = (world.drops[1].folder / "users.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    folder = {"STREAMFLOW_BACKUP__FOLDER": str(tmp_path / "backups")}
    backed_up = world.program.json("backup", **folder)
    assert world.trained["version"] in backed_up["versions"]
    said = program.ok("restore", backed_up["folder"])
    assert "nothing needs to be materialized" in said
    predict = next(item["url"] for item in started["services"] if item["name"] == "predict")
    until(
        "predict serves the version that was restored",
        lambda: program.services()["predict"]["model_version"] == world.trained["version"],
    )
    assert answer(predict, user) == answer(world.predict, user)
    assert program.json("drops", "list") == world.program.json("drops", "list")
    # The trail says where it comes from, and holds.
    history = program.json("models", "history")
    assert history["moves"][-1]["action"] == "restore"
    assert history["moves"][-1]["facts"]["backup"] == Path(backed_up["folder"]).name
    assert history["losses"] == []
    # The restored stack can be restarted and written to, even after another restore was killed.
    leave_as_a_killed_restore(program)
    program.ok("down")
    started_again = program.run("up")
    assert started_again.returncode == 0, started_again.stderr
    assert "of a restore that was cut short is deleted" in started_again.stderr
    assert program.json("score")["version"] == world.trained["version"]
    again = program.run("restore", backed_up["folder"])
    assert again.returncode == 3
    assert "has 2 drops" in again.stderr
    assert "--replace" in again.stderr

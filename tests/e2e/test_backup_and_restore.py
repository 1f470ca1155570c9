"""Restore a backup into a new stack, which then gives the same answers."""

from __future__ import annotations

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
    # The restored stack can be restarted and written to.
    program.ok("down")
    program.ok("up")
    assert program.json("score")["version"] == world.trained["version"]
    again = program.run("restore", backed_up["folder"])
    assert again.returncode == 3
    assert "has 2 drops" in again.stderr
    assert "--replace" in again.stderr

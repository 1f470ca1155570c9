"""Two stacks on one machine: each has its own PostgreSQL, whatever the shell of the second one names."""

from __future__ import annotations

import pytest
from program import Program


@pytest.mark.load
@pytest.mark.fault("F38")
def test_a_second_stack_runs_beside_the_first_and_shares_nothing(stack, tmp_path, verdict):
    first = stack.program
    before = first.services()
    second = Program(tmp_path / "home")
    # As in a shell that has read the first one's stack.env, or means to share its database.
    foreign = {
        "STREAMFLOW_DATABASE__PORT": before["postgres"]["url"].rpartition(":")[2].partition("/")[0],
        "STREAMFLOW_DATABASE__PASSWORD": (first.home / "postgres-password").read_text().strip(),
        "STREAMFLOW_MLFLOW__TRACKING_URI": before["mlflow"]["url"],
    }
    try:
        second.json("up", **foreign)
        both = second.services()
        assert {name: item["state"] for name, item in both.items()} == dict.fromkeys(before, "running")
        shared = {item["url"] for item in both.values()} & {item["url"] for item in before.values()}
        assert shared == set()
        assert first.services() == before
        simulated = second.json("simulate", tmp_path / "drops", "--users", 50, "--months", 1)["drops"]
        drops = len(first.json("drops", "list"))
        second.json("ingest", simulated[0]["folder"])
        assert len(second.json("drops", "list")) == 1
        assert len(first.json("drops", "list")) == drops
    finally:
        second.run("down")
    assert second.processes() == []
    assert first.services() == before
    verdict(shared_addresses=len(shared))

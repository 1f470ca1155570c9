"""Every command with the option `--json` prints exactly one document to stdout."""

from __future__ import annotations

import json

import pytest

from streamflow.cli import main as command_line

CALLS = {
    "features apply": "features apply",
    "features check": "features check",
    "init": "init NEW --from DROP",
    "drops show": "drops show 2024-01-31",
    "drops quarantine": "drops quarantine",
    "drops check": "drops check DROP --as-of 2024-01-31",
    "models show": "models show production",
    "models at": "models at NOW",
    "models recheck": "models recheck 2",
    "explain": "explain USER",
    "keys new": "keys new checkout --scope predict",
    "settings show": "settings show",
    "db clock": "db clock",
    "trial start": "trial start 2 --as challenger --why x",
    "trial stop": "trial stop --as challenger --why x",
    "reproduce": "reproduce 1",
    "gate": "gate 2",
    "monitor quality": "monitor quality",
    "monitor harm": "monitor harm",
    "monitor drift": "monitor drift",
}
ELSEWHERE = {
    # Other tests in this folder read the documents of these commands.
    *("up", "down", "status", "doctor", "simulate", "ingest", "drops list", "features get", "materialize"),
    *(
        "train",
        "models promote",
        "models history",
        "models list",
        "predict",
        "score",
        "monitor report",
        "backup",
        "restore",
        "upgrade",
        "erase",
    ),
    "promotion resume",
    # Aliases of other commands, or commands that print the same document as a promotion.
    *("models gate", "promote", "rollback", "models rollback"),
    # Need a cluster: tests/cluster.
    *("jobs list", "jobs run"),
}


def _leaves(path, command):
    """All commands below a command group, each with its full name."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    for name, one in inner.items():
        yield from _leaves((*path, name), one)


def test_every_command_with_json_is_tried():
    having = {
        path
        for name in command_line.COMMANDS
        for path, command in _leaves((name,), command_line.load(name))
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert having == set(CALLS) | ELSEWHERE


@pytest.fixture(scope="module")
def second_version(world):
    """Register a second version beside the one in production."""
    known = {item["version"] for item in world.program.json("models", "list")}
    if 2 not in known:
        world.program.ok("train", "--as-of", world.drops[0].as_of, "--estimator", "logistic_regression")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_stdout_is_one_document(world, second_version, call, tmp_path):
    user = (world.drops[1].folder / "users.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    words = {
        "DROP": str(world.drops[0].folder),
        "USER": user,
        "NOW": "2999-01-01",
        "NEW": str(tmp_path / "first"),
    }
    done = world.program.run(*(words.get(word, word) for word in call.split()), "--json")
    assert "Traceback" not in done.stderr
    # Exit code 3: the gate may reject the version, and still prints its report.
    assert done.returncode in (0, 3), done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict | list)
    assert document or call == "drops quarantine"

"""Workflows only start `.ci/run`, with few rights; hooks before a commit call the project's own tools."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*"))
FAULTY = """\
on: pull_request_target
jobs:
  run:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: echo ${{ github.event.pull_request.title }}
"""


def zizmor(*paths):
    command = [BIN / "zizmor", "--offline", "--quiet", "--no-progress", "--persona=auditor", *paths]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def actionlint(*paths):
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamflow-cluster"
    places = [os.environ["PATH"], str(Path(os.environ.get("STREAMFLOW_CLUSTER_CACHE", cache)) / "bin")]
    found = shutil.which("actionlint", path=os.pathsep.join(places))
    if not found:
        pytest.skip(
            "actionlint is not on PATH: scripts/actionlint builds it. The workflows are tested by zizmor alone."
        )
    return subprocess.run([found, "-no-color", *paths], capture_output=True, text=True, check=False)


@pytest.fixture
def faulty(tmp_path):
    """A workflow with known faults, which shows that a tool looks at all."""
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "faulty.yml").write_text(FAULTY)
    return folder / "faulty.yml"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_ci_run_and_nothing_else(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
        for step in job["steps"]:
            assert set(step) <= {"name", "run", "uses", "with"}
            assert "uses" not in step or re.fullmatch(r"actions/checkout@[0-9a-f]{40}", step["uses"])


def test_zizmor_has_nothing_to_say(faulty):
    clean = zizmor(ROOT / ".github")
    assert clean.returncode == 0, clean.stdout
    found = zizmor(faulty)
    assert found.returncode > 10
    for rule in ("dangerous-triggers", "template-injection", "unpinned-uses", "excessive-permissions"):
        assert rule in found.stdout, rule


def test_actionlint_has_nothing_to_say(faulty):
    clean = actionlint(*WORKFLOWS)
    assert clean.returncode == 0, clean.stdout
    assert "is potentially untrusted" in actionlint(faulty).stdout


def test_hooks_before_a_commit_are_local_and_call_what_setup_installs():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    shown = subprocess.run(
        ["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        program, *rest = hook["entry"].split()
        assert program.startswith(".venv/bin/"), hook["id"]
        assert (BIN / Path(program).name).exists(), hook["id"]
        tool = rest[0] if program.endswith("python") else Path(program).name
        assert tool in shown, f"'make lint' does not run {tool}"
